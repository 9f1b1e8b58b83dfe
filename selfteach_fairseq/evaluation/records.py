"""Score records: the fields they have, reading and writing them."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..export.quantization import QUANTIZATIONS
from ..files import lines_of, read_json, whole, write_table
from ..layers import SIDES, Layers
from ..programs.logs import LOSS
from . import rouge

Record = dict[str, Any]  # what `selfteach score` writes

FAIRSEQ, CTRANSLATE2 = "fairseq", "ctranslate2"  # the engines; a record that names none: fairseq
_NUMBERS = ("bytes", "parameters", "sentences_per_second", "encoder_layers")
_OPTIONAL_NUMBERS: tuple[str, ...] = ("training_seconds", "peak_memory_bytes", "sparsity")
_OPTIONAL_NUMBERS += ("chrfpp", "valid_bits", *rouge.NAMES)
_OPTIONAL_COUNTS = ("threads", "beam", "batch_size")
_OPTIONAL_TEXT = ("tokenizer", "options", "kept_layers")
_SIGNED = ("mcc",)
_LARGEST = 2**63  # larger numbers are no file sizes and would break the tables


class Kind(NamedTuple):
    """What records there are: of translations, or of a classifier."""

    score: str  # the field that models are compared by
    name: str  # and what tables call it
    numbers: tuple[str, ...]  # fields that every such record has
    text: tuple[str, ...]
    figure: str  # that of validation whose course through training is drawn
    figure_name: str


TRANSLATIONS = Kind(
    *("bleu", "BLEU", ("bleu", "bleu_lc", "chrf", "decoder_layers"), ("bleu_signature",)),
    *(LOSS, "loss (bits per target token)"),
)
CLASSES = Kind("accuracy", "accuracy", ("accuracy", "f1"), (), "accuracy", "accuracy (percent)")


KINDS = (TRANSLATIONS, CLASSES)


def kind_of(record: Record) -> Kind:
    return CLASSES if CLASSES.score in record else TRANSLATIONS


def read(path: Path | str) -> Record:
    """Read a score record.

    Raises: ValueError if the file holds none.
    """
    record = read_json(path)
    record = {"system": Path(path).stem, **record}
    kind = kind_of(record)
    wrong = [n for n in (*_NUMBERS, *kind.numbers) if not _is_number(record.get(n))]
    wrong += [n for n in _SIGNED if n in record and not _is_signed(record[n])]
    optional = {name: record.get(name) for name in _OPTIONAL_NUMBERS}
    wrong += [n for n, value in optional.items() if value is not None and not _is_number(value)]
    wrong += [n for n in _OPTIONAL_COUNTS if not (record.get(n) is None or _is_count(record[n]))]
    wrong += [n for n in ("system", *kind.text) if not _is_text(record.get(n))]
    wrong += _wrong_of_engine(record)
    wrong += [n for n in _OPTIONAL_TEXT if not isinstance(record.get(n, ""), str)]
    wrong += ["kept_layers"] * (not wrong and not _fits(record))
    versions = record.get("versions")
    if not isinstance(versions, dict) or not all(map(_is_text, versions.values())):
        wrong.append("versions")
    wrong += [n for n in record if n != "versions" and isinstance(record[n], list | dict)]
    if wrong:
        raise ValueError(
            f"{path}: no record of `selfteach score`: its {wrong[0]} is not that of one"
        )
    return record


def _wrong_of_engine(record):
    """Those of the fields that tell the engine which are not what such an engine has."""
    engine = record.get("engine", FAIRSEQ)
    stored = QUANTIZATIONS if engine == CTRANSLATE2 else (None,)
    kinds = {
        "engine": engine in (FAIRSEQ, CTRANSLATE2),
        "quantization": record.get("quantization") in stored,
        "compute_type": record.get("compute_type") is None or _is_text(record["compute_type"]),
    }
    return [name for name, is_right in kinds.items() if not is_right]


def read_cost(path: Path | str) -> dict[str, Any]:
    """Read what recipes/measure.py has measured.

    Raises: ValueError if the file lacks a part of it.
    """
    cost = read_json(path)
    kinds = {
        "training_seconds": _is_number,  # of the whole run, not until the checkpoint was saved
        "peak_memory_bytes": _is_number,
        "peak_memory_of": _is_text,
    }
    if not all(is_kind(cost.get(name)) for name, is_kind in kinds.items()):
        raise ValueError(f"{path}: lacks one of {', '.join(kinds)}: measure again")
    return {name: cost[name] for name in kinds}


def _fits(record):
    """Whether the layers that it is made of are as many as it has."""
    try:
        counts = layers_of(record).counts
    except ValueError:
        return False
    return counts == tuple(record[f"{side}_layers"] for side in SIDES if f"{side}_layers" in record)


def _is_number(value):
    """Finite and not negative; a bool is no number here, though Python counts it as one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _is_signed(value):
    return _is_number(abs(value)) if isinstance(value, int | float) else False


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST


def _is_text(value):
    return isinstance(value, str) and value.isprintable()


def translations_path(record_path: Path | str) -> Path:
    """Where the translations are that belong to a record NAME.json: beside it, as NAME.hyp.txt."""
    path = Path(record_path)
    return path.with_name(path.name.removesuffix(".json") + ".hyp.txt")


def write(record: Record, translations: Iterable[str], path: Path | str) -> None:
    """Write `path` (JSON) and the translations beside it.

    Raises: OSError, with one line, if either can't be written; then both are what they were.
    """
    with whole(path) as file:
        file.write((json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
        file.flush()  # so that a full disk shows before the translations replace the old ones
        with whole(translations_path(path)) as text:
            text.write("".join(line + "\n" for line in translations).encode())


def translations(path: Path | str) -> list[str]:
    """The translations that `selfteach score` wrote beside a record."""
    return lines_of(translations_path(path))


def write_csv(records: list[Record], path: Path | str) -> None:
    """Write a row for each record, with all of its fields; the engine for all or none.

    Raises: OSError, with one line, if the file can't be written.
    """
    known = {"engine": FAIRSEQ} if any("engine" in record for record in records) else {}
    flat = [{**known, **record, **record["versions"]} for record in records]
    for row in flat:
        del row["versions"]
    write_table(flat, path)


def layers_of(record: Record) -> Layers:
    """The Layers of the full model that the scored one has: first ones, unless it says others."""
    if "kept_layers" in record:
        return Layers.read(record["kept_layers"])
    return Layers.first(record["encoder_layers"], record.get("decoder_layers"))


def engine_of(record: Record) -> str:
    """The engine's short name: "fairseq", "CT2 float32" (not quantised), "CT2 int8", ..."""
    if record.get("engine", FAIRSEQ) == FAIRSEQ:
        return FAIRSEQ
    stored = record["quantization"]
    return f"CT2 {'float32' if stored == 'none' else stored}"


class Settings(NamedTuple):
    """What a speed was measured with, besides the engine; None is what a record does not say."""

    machine: str | None
    threads: int | None
    batch: int | None  # sentences
    beam: int | None

    def __str__(self) -> str:
        counts = [f"{name} {n}" for name, n in self._asdict().items() if n and name != "machine"]
        return ", ".join([self.machine, *counts] if self.machine else counts)


def settings_of(record: Record) -> Settings:
    """The settings of a record; an older one has its threads in the name of its hardware only."""
    machine, threads = str(record.get("hardware") or ""), record.get("threads")
    if named := re.fullmatch(r"(.*), (\d{1,9}) threads", machine):
        machine, threads = named[1], threads or int(named[2])
    return Settings(machine or None, threads, record.get("batch_size"), record.get("beam"))
