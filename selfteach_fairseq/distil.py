"""Sequence-level distillation: the training text as a teacher translates it (Kim and Rush 2016).

The result is a data folder like the one it is made from, for fairseq-train as it is: the targets of
the training text are the teacher's best translations, in its own pieces; all else is a copy.
"""

import math
import resource
import shutil
import tempfile
import time
from pathlib import Path

import torch
from fairseq.data import indexed_dataset
from fairseq.data.data_utils import load_indexed_dataset

from .checkpoints.checkpoint import Checkpoint
from .checkpoints.data import dictionaries, languages
from .errors import one_line
from .files import read_json, sha256, whole, write_json
from .programs.generate import check_options, generating

SHARD_SENTENCES = 5000  # so much work at most is lost in an interruption
_MADE_OF, _COST, _SHARDS = "made_of.json", "cost.json", "shards"


def distil(
    teacher: Path | str,
    data: Path | str,
    folder: Path | str,
    *,
    beam: int,
    lenpen: float,
    batch_size: int,
    shards: int | None,
    options: list[str],
) -> tuple[int, int]:
    """Translate the training text of a data folder, part by part, into another data folder.

    What a run has finished, of parts, is kept in `folder`, and a later run goes on from there.
    `cost.json` there says how long all parts took, model loading included, for `score --cost`.

    Args:
        teacher: path of any fairseq Transformer checkpoint
        data: folder of fairseq-preprocess
        beam, lenpen, batch_size: as fairseq-generate's options; batch_size in sentences
        shards: how many parts; None: of SHARD_SENTENCES each
        options: further options for fairseq-generate, a list of strings

    Returns: (sentences, kept): how many there are, and how many of them keep their own target,
        for they are longer than the model takes.
    Raises: ValueError if teacher and data don't fit, or `folder` is of other ones.
    """
    check_options(options, "post_process", "bpe", "tokenizer")  # the student learns its pieces
    checkpoint = Checkpoint.read(teacher).stock()
    pair = languages(checkpoint, data)
    _, dictionary = dictionaries(checkpoint, data, pair)
    prefix = _prefix(data, pair)
    targets = _targets(data, prefix, pair, dictionary)
    most = math.ceil(len(targets) / batch_size)  # fairseq-generate dies of a part without a batch
    shards = min(shards or math.ceil(len(targets) / SHARD_SENTENCES), most)
    options = [
        *("--beam", str(beam), "--lenpen", str(lenpen), "--batch-size", str(batch_size)),
        *("--skip-invalid-size-inputs-valid-test", *options),
    ]
    made_of = {
        "teacher": sha256(teacher),
        "source": sha256(f"{data}/{prefix}{pair[0]}.bin"),
        "options": [*options, str(shards)],
    }
    folder = Path(folder)
    _claim(folder, made_of)

    with generating(checkpoint, data, pair) as generate:
        parts = [_part(folder, number, shards, generate, options) for number in range(shards)]
    translations = {int(n): text for part in parts for n, text in part["translations"].items()}
    for pattern in ("dict.*.txt", "*.bin", "*.idx"):
        for path in Path(data).glob(pattern):
            if not path.name.startswith(f"{prefix}{pair[1]}."):
                _copy(path, folder / path.name)
    _write_cost(folder, parts)
    _binarise(translations, targets, dictionary, folder / f"{prefix}{pair[1]}")
    return len(targets), len(targets) - len(translations)


def _prefix(data, pair):
    """How the training text's files begin, of which fairseq knows two forms."""
    source, target = pair
    for prefix in (f"train.{source}-{target}.", f"train.{target}-{source}."):
        if not Path(data, f"{prefix}{source}.bin").is_file():
            continue
        if Path(data, f"{prefix}{source}.bin".replace("train.", "train1.", 1)).is_file():
            raise ValueError(f"{data}: has a train1 beside train, in binary: make one text of them")
        return prefix
    raise ValueError(
        f"{data}: has no train of {source} and {target} as fairseq-preprocess makes it: run it, or "
        "name another folder"
    )


def _targets(data, prefix, pair, dictionary):
    try:
        targets = load_indexed_dataset(f"{data}/{prefix}{pair[1]}", dictionary)
        if targets is None or not len(targets):
            raise ValueError("it is not there, or empty")
    except Exception as error:  # whatever a damaged file breaks in fairseq's readers
        raise ValueError(
            f"{data}: its {prefix}{pair[1]} can't be read ({one_line(error)}): run "
            "fairseq-preprocess again"
        ) from None
    return targets


def _claim(folder, made_of):
    """Raises: ValueError if the folder holds something else than the beginning of the same work."""
    note = folder / _MADE_OF
    if folder.exists() and any(folder.iterdir()):
        try:
            same = read_json(note) == made_of
        except (OSError, ValueError):
            same = False
        if not same:
            raise ValueError(
                f"{folder}: holds other files, or translations by another teacher or with other "
                "options: choose another folder, or remove it"
            )
    (folder / _SHARDS).mkdir(parents=True, exist_ok=True)
    write_json(made_of, note)


def _part(folder, number, shards, generate, options):
    """One part of the translations, made now or by an earlier run."""
    path = folder / _SHARDS / f"{number + 1}-of-{shards}.json"
    if path.exists():
        return read_json(path)
    print(f"part {number + 1} of {shards}", flush=True)
    start = time.monotonic()
    # fairseq-generate divides its batches by these, and opens no connection.
    part = ["--distributed-world-size", str(shards), "--distributed-rank", str(number)]
    output = generate("train", [*options, *part])
    seconds = time.monotonic() - start
    kibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    made = {"seconds": seconds, "kibibytes": kibibytes, "translations": output.translations}
    write_json(made, path)
    return made


def _write_cost(folder, parts):
    cost = {
        "training_seconds": sum(part["seconds"] for part in parts),
        "peak_memory_bytes": max(part.get("kibibytes", 0) for part in parts) * 1024,
        "peak_memory_of": "resident set",
    }
    write_json(cost, folder / _COST)


def _copy(source, target):
    with open(source, "rb") as read, whole(target) as written:
        shutil.copyfileobj(read, written)


def _binarise(translations, targets, dictionary, prefix):
    """Writes the targets in fairseq's binary format, the index last."""
    with tempfile.TemporaryDirectory() as partial:
        data, index = (Path(partial, f"targets.{kind}") for kind in ("bin", "idx"))
        builder = indexed_dataset.make_builder(str(data), "mmap", vocab_size=len(dictionary))
        for number in range(len(targets)):
            builder.add_item(_tokens(translations.get(number), targets[number], dictionary))
        builder.finalize(str(index))
        for path in (data, index):
            _copy(path, Path(f"{prefix}{path.suffix}"))


def _tokens(text, own, dictionary):
    """The types of a translation, (T,), with the end of the sentence; or else the `own` ones."""
    if text is None:
        return own
    words = text.split(" ") if text else []
    return torch.tensor([*map(dictionary.index, words), dictionary.eos()])
