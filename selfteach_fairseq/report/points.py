"""Models as the points of a picture, and which of them it shows."""

from statistics import mean, stdev
from typing import Any, NamedTuple

from ..evaluation.groups import Model, grouped
from ..evaluation.records import Record, kind_of, layers_of
from .labels import NOTE, label


class Point(NamedTuple):
    """A model: means over its seeds, and with several seeds their deviations."""

    model: Model
    layers: float
    speed: float
    speed_bar: float | None
    score: float  # BLEU, or accuracy
    score_bar: float | None
    parameters: float

    @property
    def name(self) -> str:
        _, *rest = filter(None, self.model)
        return " ".join([label(self.model.system), *rest])


def points_of(records: list[Record]) -> list[Point]:
    """The models of the records, in their order."""
    return [
        Point(
            model,
            sum(layers_of(runs[0]).counts),
            *_spread(runs, "sentences_per_second"),
            *_spread(runs, kind_of(runs[0]).score),
            parameters=runs[0]["parameters"],
        )
        for model, runs in grouped(records).items()
    ]


def _spread(runs: list[Record], key: str) -> tuple[float, float | None]:
    values = [run[key] for run in runs]
    return mean(values), stdev(values) if len(values) > 1 else None


def focus(axes: Any, points: list[Point], across: str) -> list[Point]:
    """Set the scores' axis to show the differences that matter, over at least two points.

    Points below half of the best score stay out of view, because the others would be squeezed
    together above them: an arrow and a figure at the bottom stand for each.

    Args:
        across: the field of a Point that the other axis shows

    Returns: the points in view.
    """
    half = max(point.score for point in points) / 2
    seen = [point for point in points if point.score >= half]
    low = [point for point in points if point.score < half]
    bottom = min(point.score - (point.score_bar or 0) for point in seen)
    top = max(point.score + (point.score_bar or 0) for point in seen)
    reach = max(0.6 * (top - bottom), 1)
    axes.set_ylim(
        (top + bottom) / 2 - reach * (1.2 if low else 1),
        (top + bottom) / 2 + reach,
    )
    for i, point in enumerate(low):
        x = getattr(point, across)
        axes.annotate(
            f"↓ {point.name}: {point.score:.1f}",
            (x, 0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 4 + 12 * i),
            textcoords="offset points",
            horizontalalignment="left" if x < mean(axes.get_xlim()) else "right",
            **NOTE,
        )
    return seen
