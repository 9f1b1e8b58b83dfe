"""An exported model: the folder that one ships.

model.bin, config.json, *_vocabulary.json   what CTranslate2 loads
sentencepiece.model                         or sentencepiece.source.model and .target.model
selfteach.json                              languages, and the defaults of a search
SHA256SUMS                                  of all these; `sha256sum -c` checks it, too
README.md                                   the model card, which is its owner's to edit
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.checkpoint import Checkpoint
from ..errors import DataError, DeviceError, one_line
from ..files import read_json, sha256, whole_folder
from ..programs.generate import Limit, Search
from . import card, subwords
from .quantization import QUANTIZATIONS
from .specification import Dictionaries, library, specification, write

if TYPE_CHECKING:
    from ctranslate2 import Translator

SETTINGS, SUMS, CARD = "selfteach.json", "SHA256SUMS", "README.md"
_FORMAT = 1
_KINDS = {
    **{"format": int, "source": str, "target": str, "layers": str, "quantization": str},
    **{"beam": int, "lenpen": float, "max_len_a": float, "max_len_b": int},
    **{"longest_source": int, "longest_target": int, "subwords": list},
}
LARGEST_BEAM = 1000  # of which a search needs a few hundred megabytes
_RANGES = {
    **{"beam": (1, LARGEST_BEAM), "lenpen": (-1e6, 1e6), "max_len_a": (0, 1e6)},
    **{"max_len_b": (0, 2**31), "longest_source": (1, 2**31), "longest_target": (1, 2**31)},
}
# What CTranslate2 reads of a folder, asked or not.
_ITS_NAMES = re.compile(r"(shared|source|target)_vocabulary\.(json|txt)|vmap\.txt")


@dataclass(frozen=True)
class Settings:
    """What selfteach.json says."""

    source: str  # languages
    target: str
    layers: str
    quantization: str
    beam: int
    lenpen: float
    max_len_a: float
    max_len_b: int
    longest_source: int  # tokens, without the end of the sentence
    longest_target: int
    subwords: list[str]  # files: one for both sides, one for each, or none
    format: int = _FORMAT

    @property
    def search(self) -> Search:
        return Search(self.beam, self.lenpen)

    @property
    def limit(self) -> Limit:
        return Limit(self.max_len_a, self.max_len_b)


def export(
    checkpoint: Checkpoint,
    dictionaries: Dictionaries,
    languages: tuple[str, str],
    path: Path | str,
    *,
    quantization: str = "none",
    search: Search,
    limit: Limit,
    sentencepiece: Sequence[Path | str] = (),
    record: Mapping[str, Any] | None = None,
) -> Settings:
    """Write a checkpoint's model as a folder that needs neither fairseq nor torch.

    Args:
        checkpoint: one that stock fairseq loads
        dictionaries: that fit it, of source and target
        languages: (source, target)
        path: of the folder, which is replaced if it is there
        quantization: one of QUANTIZATIONS
        search, limit: the defaults of those who use it
        sentencepiece: the model of both sides' pieces, or one for each side
        record: of `selfteach score`, for the card

    Raises: CheckpointError if CTranslate2 has no such model, DataError if sentencepiece's model
        does not fit; OSError, with one line, if it can't be written.
    """
    spec = specification(checkpoint, dictionaries)
    if sentencepiece:
        subwords.check_fit(sentencepiece, dictionaries)
    names = ["sentencepiece.model"] if len(sentencepiece) == 1 else []
    if len(sentencepiece) == 2:
        names = ["sentencepiece.source.model", "sentencepiece.target.model"]
    positions = checkpoint.family.complete(checkpoint.settings)  # type: ignore[union-attr]
    settings = Settings(
        *languages,
        layers=str(checkpoint.layers),
        quantization=quantization,
        beam=search.beam,
        lenpen=search.lenpen,
        max_len_a=limit.a,
        max_len_b=limit.b,
        longest_source=positions["max_source_positions"] - 1,
        longest_target=positions["max_target_positions"] - 1,
        subwords=names,
    )
    with whole_folder(path) as folder:
        write(spec, folder, quantization)
        for model, name in zip(sentencepiece, names, strict=True):
            shutil.copyfile(model, folder / name)
        text = json.dumps(asdict(settings), indent=2, ensure_ascii=False) + "\n"
        (folder / SETTINGS).write_text(text, encoding="utf-8")
        loaded = sorted(file.name for file in folder.iterdir())
        sums = "".join(f"{sha256(folder / name)}  {name}\n" for name in loaded)
        (folder / SUMS).write_text(sums, encoding="utf-8")
        size = sum((folder / name).stat().st_size for name in loaded)
        about = _about(settings, size)
        (folder / CARD).write_text(card.render(checkpoint, record, **about), encoding="utf-8")
        read(folder)
        if _compute_type(quantization) in library().get_supported_compute_types("cpu"):
            load(folder, quantization)
    return settings


def _about(settings, size):
    """The variables of the card that the settings fill."""
    tokens, limit = "len(pieces) + 1", settings.limit
    growing = f"int({limit.a!r} * ({tokens}) + {limit.b})"
    return {
        **{name: getattr(settings, name) for name in ("source", "target", "layers", "subwords")},
        "search": settings.search,
        "limit": f"min({growing}, {settings.longest_target})"
        if limit.a
        else limit.within(0, settings.longest_target),
        "longest": f"{settings.longest_source:,}",
        "numbers": settings.quantization if settings.quantization != "none" else "float32",
        "compute_type": _compute_type(settings.quantization),
        "size": f"{size / 1e6:.1f} MB",
        "sums": SUMS,
    }


def read(path: Path | str) -> Settings:
    """The settings of an exported model, whose files are checked.

    Raises: DataError if the folder is none, or a file is not what was exported.
    """
    folder = Path(path)
    if not (folder / SETTINGS).is_file() or not (folder / SUMS).is_file():
        raise DataError(f"{path}: is no folder of `selfteach export`: name one, or export again")
    sums = {}
    for line in (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        sums[name] = digest
    missing = {SETTINGS, "model.bin", "config.json"} - sums.keys()
    for name in (*sorted(missing), *sums):
        file = folder / name
        if name in missing or Path(name).name != name or not file.is_file():
            raise DataError(
                f"{path}: lacks {one_line(name)}: copy the folder again, or export again"
            )
        if sha256(file) != sums[name]:
            raise DataError(f"{path}: its {name} is damaged or of another model: copy it again")
    for name in sorted(file.name for file in folder.iterdir()):
        if _ITS_NAMES.fullmatch(name) and name not in sums:
            raise DataError(f"{path}: its {name} is of another model: remove it, or export again")
    return _settings(folder / SETTINGS, sums)


def _settings(path, sums):
    """Raises: DataError unless the settings are those of an exported model."""
    said = read_json(path)
    if said.get("format") != _FORMAT:
        raise DataError(f"{path}: is of another release of this package: export again")
    for name, kind in _KINDS.items():
        if not _is_sound(name, kind, said.get(name)):
            raise DataError(f"{path}: its {name} is not that of an exported model: export again")
    settings = Settings(**{name: said[name] for name in _KINDS})
    if settings.limit.within(2, settings.longest_target) < 1:
        raise DataError(f"{path}: its length limit leaves no room for a word: export again")
    vocabularies = {"shared_vocabulary.json"} & sums.keys() or {
        f"{side}_vocabulary.json" for side in ("source", "target")
    }
    for name in (*settings.subwords, *sorted(vocabularies)):
        if name not in sums:
            raise DataError(f"{path.parent}: lacks {one_line(name)}: export again")
    return settings


def _is_sound(name, kind, value):
    """Whether a setting can be one: no beam of a billion, which no memory has room for."""
    if type(value) is not kind and not (kind is float and type(value) is int):
        return False
    if name in _RANGES:  # not a number is in none
        least, most = _RANGES[name]
        return least <= value <= most
    if kind is list:
        return len(value) <= 2 and all(isinstance(name, str) for name in value)
    return name != "quantization" or value in QUANTIZATIONS


def load(
    path: Path | str, quantization: str, device: str = "cpu", threads: int = 1
) -> "Translator":
    """A ctranslate2.Translator of a folder that export() or write() made.

    Args:
        threads: how many batches are translated at once, on a CPU, each by one thread, which
            gives more in all than several threads for one

    Raises: DeviceError if the device is not there, or lacks a library; ValueError if it can't
        compute with such numbers; DataError if CTranslate2 can't load the folder.
    """
    ctranslate2, wanted = library(), _compute_type(quantization)
    try:
        supported = ctranslate2.get_supported_compute_types(device)
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"--device {device}: {one_line(error)}") from None
    if wanted not in supported:  # CTranslate2 would take another kind, with a warning only
        usable = [q for q in QUANTIZATIONS if _compute_type(q) in supported]
        raise ValueError(
            f"this {device} does not compute in {wanted}: export with --quantization "
            f"{' or '.join(usable)}"
        )
    options = {"device": device, "inter_threads": threads, "intra_threads": 1}
    try:
        translator = ctranslate2.Translator(str(path), compute_type=wanted, **options)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{path}: CTranslate2 can't load it ({one_line(error)})") from None
    if device != "cpu":
        _try_out(translator)
    return translator


def _try_out(translator):
    """CUDA's libraries are looked for when a model computes, not when it is loaded."""
    try:
        translator.translate_batch([["</s>"]], beam_size=1, max_decoding_length=1)
    except RuntimeError as error:
        way_out = ""
        if "cublas" in str(error):  # CUDA 12's, which a torch for CUDA 13 does not bring
            way_out = ": pip install nvidia-cublas-cu12"
        raise DeviceError(f"CTranslate2 can't use the GPU ({one_line(error)}){way_out}") from None


def _compute_type(quantization):
    return "float32" if quantization == "none" else quantization
