"""Score records: the fields they have, reading and writing them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import one_line
from ..files import lines_of, read_json, whole, write_table
from ..layers import Layers

Record = dict[str, Any]  # what `selfteach score` writes

_NUMBERS = (
    *("bleu", "bleu_lc", "chrf", "bytes", "parameters", "sentences_per_second"),
    *("encoder_layers", "decoder_layers"),
)
_OPTIONAL_NUMBERS = ("training_seconds", "peak_memory_bytes")
_OPTIONAL_TEXT = ("tokenizer", "options")
_SIGNATURES = ("bleu_signature", "bleu_lc_signature", "chrf_signature")
_LARGEST = 2**63  # larger numbers are no file sizes and would break the tables


def read(path: Path | str) -> Record:
    """Read a score record.

    Raises: ValueError if the file holds none.
    """
    record = read_json(path)
    record = {"system": Path(path).stem, **record}
    wrong = [name for name in _NUMBERS if not _is_number(record.get(name))]
    optional = {name: record.get(name) for name in _OPTIONAL_NUMBERS}
    wrong += [n for n, value in optional.items() if value is not None and not _is_number(value)]
    wrong += [n for n in ("system", "bleu_signature") if not _is_text(record.get(n))]
    wrong += [n for n in _OPTIONAL_TEXT if not isinstance(record.get(n, ""), str)]
    versions = record.get("versions")
    if not isinstance(versions, dict) or not all(map(_is_text, versions.values())):
        wrong.append("versions")
    wrong += [n for n in record if n != "versions" and isinstance(record[n], list | dict)]
    if wrong:
        raise ValueError(
            f"{path}: no record of `selfteach score`: its {wrong[0]} is not that of one"
        )
    return record


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


def _is_number(value):
    """Finite and not negative; a bool is no number here, though Python counts it as one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST


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
    """Write a row for each record, with all of its fields.

    Raises: OSError, with one line, if the file can't be written.
    """
    flat = [{**record, **record["versions"]} for record in records]
    for row in flat:
        del row["versions"]
    write_table(flat, path)


def layers_of(record: Record) -> Layers:
    """The Layers that the scored model has."""
    return Layers.first(record["encoder_layers"], record["decoder_layers"])


def grouped(records: list[Record]) -> dict[tuple[str, str], list[Record]]:
    """The records of each system and depth, such as ("selfteach", "6x3"): one record a seed."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        depth = str(layers_of(record))
        groups.setdefault((record["system"], depth), []).append(record)
    return groups


def check_comparable(records: list[Record]) -> None:
    """Raises: ValueError if the scores of two records have different signatures."""
    first = records[0]
    for record in records:
        for name in _SIGNATURES:
            if record.get(name) != first.get(name):
                raise ValueError(
                    f"{first['system']} has the {name} {first.get(name)} and {record['system']} "
                    f"{record.get(name)}, so they can't be compared: score both with the same "
                    "--tokenizer and sacreBLEU"
                )


def options_of(records: list[Record]) -> list[str]:
    """The options given to fairseq-generate: a line for each set, naming its models if not all."""
    given: dict[str, list[str]] = {}
    for record in records:
        name = f"{record['system']} {layers_of(record)}"
        given.setdefault(record.get("options", ""), []).append(name)
    lines = []
    for options, names in given.items():
        if options:
            models = "" if len(given) == 1 else f" ({', '.join(dict.fromkeys(names))})"
            lines.append(one_line(f"{options}{models}"))
    return lines
