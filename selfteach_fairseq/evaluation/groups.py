"""Score records beside each other: which are of one model, and what of them may be compared."""

from collections.abc import Callable
from typing import NamedTuple

from ..errors import one_line
from . import rouge
from .records import FAIRSEQ, Record, Settings, engine_of, kind_of, layers_of, settings_of

_OF_SUMMARIES = tuple(f"{name}_signature" for name in rouge.NAMES)  # which others may lack
_SIGNATURES = ("bleu_signature", "bleu_lc_signature", "chrf_signature", *_OF_SUMMARIES)


def differing(records: list[Record]) -> list[str]:
    """The names of the Settings of which two records say different things."""
    known = zip(*map(settings_of, records), strict=True)
    return [
        name
        for name, values in zip(Settings._fields, known, strict=True)
        if len({*values} - {None}) > 1
    ]


def same_conditions(records: list[Record]) -> bool:
    """Whether speeds may be compared: one machine, threads and batches.

    The beam may differ: who translates chooses it, and pays for speed with BLEU, which is shown.
    """
    return not {"machine", "threads", "batch"} & {*differing(records)}


class Model(NamedTuple):
    """What a table has a row for: a system at some depth, such as "6x3", in an engine.

    Where the records differ in beam, threads or batches, the engine is followed by these: "CT2
    int8, beam 1". It is empty where all records are of fairseq and differ in none of them.
    """

    system: str
    layers: str
    engine: str

    @property
    def name(self) -> str:
        return " ".join(filter(None, self))


def models(records: list[Record]) -> list[Model]:
    """The model that each record is a score of."""
    told = [name for name in differing(records) if name != "machine"]  # too long for a column
    engines = []
    for record in records:
        settings = settings_of(record)._asdict()
        words = [f"{name} {settings[name]}" for name in told if settings[name] is not None]
        engines.append(", ".join([engine_of(record), *words]))
    if {*engines} == {FAIRSEQ}:
        engines = [""] * len(records)
    return [
        Model(record["system"], str(layers_of(record)), engine)
        for record, engine in zip(records, engines, strict=True)
    ]


def grouped(records: list[Record]) -> dict[Model, list[Record]]:
    """The records of each model: one record a seed."""
    groups: dict[Model, list[Record]] = {}
    for model, record in zip(models(records), records, strict=True):
        groups.setdefault(model, []).append(record)
    return groups


def check_comparable(records: list[Record]) -> None:
    """Raises: ValueError if the scores of two records have different signatures."""
    first = records[0]
    for record in records:
        if kind_of(record) is not kind_of(first):
            raise ValueError(
                f"{first['system']} has {kind_of(first).name} and {record['system']} "
                f"{kind_of(record).name}: name records of one kind"
            )
        for name in _SIGNATURES:
            mine, other = first.get(name), record.get(name)
            if mine != other and (name not in _OF_SUMMARIES or (mine and other)):
                raise ValueError(
                    f"{first['system']} has the {name} {first.get(name)} and {record['system']} "
                    f"{record.get(name)}, so they can't be compared: score both with the same "
                    "--tokenizer, sacreBLEU and rouge-score"
                )


def check_seeds(records: list[Record]) -> None:
    """Raises: ValueError if two records are of one model and seed, such as of two test sets."""
    for model, runs in grouped(records).items():
        seeds = [str(run.get("seed", "")) for run in runs]
        if twice := next((seed for seed in seeds if seeds.count(seed) > 1), None):
            raise ValueError(
                f"{model.name}: {seeds.count(twice)} records are of its seed {twice}: name one of "
                "them, or score what is another system with --about system=NAME"
            )


def options_of(records: list[Record]) -> list[str]:
    """The options given to fairseq-generate: a line for each set, naming its models if not all."""
    return _told(records, lambda record: record.get("options", ""))


def conditions_of(records: list[Record]) -> list[str]:
    """What the speeds were measured with: a line for each set, naming its models if not all."""
    return _told(records, lambda record: str(settings_of(record)))


def _told(records: list[Record], text_of: Callable[[Record], str]) -> list[str]:
    """A line for each of the texts, and the models that it holds for, if it does not for all."""
    names: dict[str, list[str]] = {}
    for model, record in zip(models(records), records, strict=True):
        names.setdefault(text_of(record), []).append(model.name)
    lines = []
    for text, those in names.items():
        if text:
            only = "" if len(names) == 1 else f" ({', '.join(dict.fromkeys(those))})"
            lines.append(one_line(f"{text}{only}"))
    return lines
