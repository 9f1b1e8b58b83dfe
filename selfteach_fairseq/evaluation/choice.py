"""Which model to ship: the fastest within a given loss of BLEU, or of accuracy; and which ones
others beat.
"""

from collections.abc import Sequence
from statistics import mean
from typing import NamedTuple

from ..errors import one_line
from .groups import Model, check_comparable, conditions_of, grouped, same_conditions
from .records import FAIRSEQ, Record, kind_of, settings_of
from .tables import Row, markdown

DOMINATED = "Dominated: another model is at least as good and as fast, and better or faster."
_DIGITS = 6  # kept of means, so that equal ones are equal


class Candidate(NamedTuple):
    """A model with the means over its seeds; speed in sentences per second."""

    model: Model
    score: float  # BLEU, or accuracy
    speed: float


class Choice(NamedTuple):
    """What a reader is told."""

    least: float  # score that a model must have
    answer: str  # a sentence: the fastest of all
    by_engine: list[Row]  # the fastest in each engine; empty if there is one engine only
    dominated: list[str]  # which ones another beats: a line for each engine, and one for all

    def __str__(self) -> str:
        table = [markdown(self.by_engine)] if self.by_engine else []
        lines = "\n".join(f"- {line}" for line in self.dominated)
        return "\n\n".join([self.answer, *table, DOMINATED, lines])


def choose(records: list[Record], within: float) -> Choice:
    """Of the models that lose at most `within` of the first record's score the fastest ones.

    Raises: ValueError if the records' scores have different signatures, or their speeds were
        measured on different machines, or with different threads or batches.
    """
    check_comparable(records)
    if not same_conditions(records):
        raise ValueError(
            "--within: speeds of different machines, threads or batches are not compared: leave it "
            "out, or score all on one machine with the same --threads and --batch-size; these are "
            + "; ".join(conditions_of(records))
        )
    found = candidates(records)
    least = round(found[0].score - within, _DIGITS)
    engines = {
        engine: [one for one in found if one.model.engine == engine]
        for engine in dict.fromkeys(one.model.engine for one in found)
    }
    name = kind_of(records[0]).name
    answer, lines = _answer(found, within, least, _machine(records), name), []
    for engine, several in engines.items():
        names = [_within_engine(one) for one in dominated(several)]
        lines.append(f"in {engine or FAIRSEQ}: {', '.join(names) or 'none'}")
    if len(engines) == 1:
        return Choice(least, answer, [], lines)
    beaten = dominated(found)
    left = ", ".join(one.model.name for one in found if one not in beaten)
    lines.append(f"over all engines: {f'all but {left}' if beaten else 'none'}")
    rows = [
        _row(engine, several, found[0], within, least, name) for engine, several in engines.items()
    ]
    return Choice(least, answer, rows, lines)


def candidates(records: list[Record]) -> list[Candidate]:
    """The models of the records, in their order."""
    return [
        Candidate(
            model,
            *(_mean(runs, key) for key in (kind_of(records[0]).score, "sentences_per_second")),
        )
        for model, runs in grouped(records).items()
    ]


def fastest(several: Sequence[Candidate], least: float) -> Candidate | None:
    """Of those with at least such a score; of equally fast ones the best, then the first."""
    enough = [one for one in several if one.score >= least]
    return max(enough, key=lambda one: (one.speed, one.score), default=None)


def dominated(several: Sequence[Candidate]) -> list[Candidate]:
    """Those that another one beats: at least as good and at least as fast, and better or faster."""
    return [one for one in several if any(_beats(other, one) for other in several)]


def _beats(one, other):
    better, faster = one.score - other.score, one.speed - other.speed
    return min(better, faster) >= 0 and max(better, faster) > 0


def _mean(runs, key):
    return round(mean(run[key] for run in runs), _DIGITS)


def _answer(found, within, least, machine, name):
    base = found[0]
    best = fastest(found, least)
    if best.speed == base.speed:
        return (
            f"On {machine}, none is faster than {base.model.name} within {within:g} {name} of it."
        )
    times = f", {best.speed / base.speed:.2f} times as fast" if base.speed else ""
    return (
        f"On {machine}, the fastest within {within:g} {name} of {base.model.name} is "
        f"{best.model.name}: {best.score - base.score:+.2f} {name}{times}."
    )


def _row(engine, several, base, within, least, name):
    best = fastest(several, least)
    texts = (
        [
            _within_engine(best),
            f"{best.score:.1f}",
            f"{best.score - base.score:+.2f}",
            f"{best.speed:.0f}",
            f"{best.speed / base.speed:.2f} x" if base.speed else "-",
        ]
        if best
        else ["none", "-", "-", "-", "-"]
    )
    columns = (f"fastest within {within:g} {name}", name, "difference", "sent./s", "speed")
    return {"engine": engine, **dict(zip(columns, texts, strict=True))}


def _within_engine(one):
    return one.model._replace(engine="").name


def _machine(records):
    """What all speeds were measured on, as far as a record says it."""
    known = (settings_of(record)._replace(batch=None, beam=None) for record in records)
    return one_line(max(map(str, known), key=len) or "the machine of the records")
