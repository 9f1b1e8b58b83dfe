"""The pictures of a report: quality against layers and speed, and training curves.

A system has the same colour and marker in each picture.
"""

from collections.abc import Iterable
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import pictures
from ..evaluation.records import Record, grouped, layers_of
from ..layers import Layers
from ..programs.logs import FULL
from .curves import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Styles = dict[str, tuple[str, str]]  # a colour and a marker by system

_LINES = ("-", "--", ":", "-.")  # the full model, and its students
_SMALL: dict[str, Any] = {"width": 4.6, "height": 4}
_LARGE: dict[str, Any] = {"width": 7, "height": 5}
_MOST_NAMED = 9  # models with names beside their markers
_LARGEST = 300  # area of the largest model's marker, in square points
_LONGEST = 30  # characters of a label
_LEGEND_WIDTH = 84  # characters in a line below the widest picture; a line's sample takes six
_NOTE = {"color": "0.2", "fontsize": 9}  # not in the system's colour: some are too light for text
_PLACES = (  # of a label beside a marker: its direction and its alignment
    *((0.8, 0.8, "left", "bottom"), (0.8, -0.8, "left", "top")),
    *((-0.8, 0.8, "right", "bottom"), (-0.8, -0.8, "right", "top")),
    *((1, 0, "left", "center"), (-1, 0, "right", "center")),
    *((0, 1, "center", "bottom"), (0, -1, "center", "top")),
)


class _Point(NamedTuple):
    """A system at one depth: means over its seeds, and with several seeds their deviations."""

    system: str
    depth: str
    layers: float
    speed: float
    speed_bar: float | None
    bleu: float
    bleu_bar: float | None
    parameters: float

    @property
    def name(self) -> str:
        return f"{_label(self.system)} {self.depth}"


def styles(systems: Iterable[str]) -> Styles:
    """A colour and a marker for each system, a different pair for each of the first 49."""
    colours, markers = pictures.COLOURS, pictures.MARKERS
    return {
        system: (colours[i % len(colours)], markers[(i + i // len(colours)) % len(markers)])
        for i, system in enumerate(dict.fromkeys(systems))
    }


def crowded(records: list[Record]) -> bool:
    """Whether there are too many models to name each in a small picture."""
    return len(grouped(records)) > _MOST_NAMED


def layers(records: list[Record], style: Styles) -> "Figure":
    """BLEU against the sum of encoder and decoder layers, one line for each system.

    The systems are shifted sideways a little, so that none hides another's bar.
    """
    figure, axes = pictures.new(**(_LARGE if crowded(records) else _SMALL))
    points = sorted(_points(records), key=lambda point: point.layers)
    step = 0.015 * (points[-1].layers - points[0].layers)
    for i, (system, (colour, marker)) in enumerate(style.items()):
        of_one = [point for point in points if point.system == system]
        if of_one:
            axes.errorbar(
                [point.layers + step * (i - (len(style) - 1) / 2) for point in of_one],
                [point.bleu for point in of_one],
                [point.bleu_bar or float("nan") for point in of_one],
                **{"color": colour, "marker": marker, "capsize": 4, "label": _label(system)},
            )
    depths: dict[float, dict[str, bool]] = {}
    for point in points:
        depths.setdefault(point.layers, {})[point.depth] = True
    axes.set_xticks(list(depths), ["\n".join(names) for names in depths.values()])
    axes.margins(x=0.1)
    axes.set(xlabel="layers (encoder x decoder)", ylabel="BLEU")
    _focus(axes, points, "layers")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def speed(records: list[Record], style: Styles) -> "Figure":
    """BLEU against sentences per second; a marker's area shows the number of parameters."""
    crowd = crowded(records)
    figure, axes = pictures.new(**(_LARGE if crowd else _SMALL))
    points = _points(records)
    sizes = sorted({point.parameters for point in points})
    area = _LARGEST / (sizes[-1] or 1)  # of one parameter
    for system, (colour, marker) in style.items():
        of_one = [point for point in points if point.system == system]
        xs, ys = [point.speed for point in of_one], [point.bleu for point in of_one]
        axes.plot(xs, ys, color=colour, alpha=0.3, zorder=1)
        for point in of_one:
            bars = {"yerr": point.bleu_bar, "xerr": point.speed_bar, "capsize": 4}
            axes.errorbar(point.speed, point.bleu, **bars, color=colour, zorder=2)
        areas = [area * point.parameters for point in of_one]
        kind = {"color": colour, "marker": marker, "edgecolors": "white", "linewidths": 0.5}
        axes.scatter(xs, ys, areas, **kind, alpha=0.7, zorder=3)
        if crowd and of_one:
            axes.scatter([], [], 40, **kind, label=_label(system))
    for size in dict.fromkeys((sizes[0], sizes[-1])):
        label = f"{size / 1e6:.2f} M parameters"
        axes.scatter([], [], area * size, color="0.6", label=label)
    axes.margins(0.15)
    axes.set(xlabel="decoding speed (sentences per second)", ylabel="BLEU")
    seen = _focus(axes, points, "speed")
    figure.legend(loc="outside lower center", ncols=3 if crowd else 2, frameon=False)
    if not crowd:
        figure.draw_without_rendering()  # fixes the positions that _place() needs
        _place(axes, seen, [(area * point.parameters) ** 0.5 / 2 for point in seen])
    return figure


def training(runs: list[Run], style: Styles) -> "Figure":
    """Validation loss against updates: one line for each model, full or student, and seed."""
    figure, axes = pictures.new(width=7, height=4.4)
    named: set[str] = set()
    for run in runs:
        students = sorted((model for model in run.curves if model != FULL), key=_depth)
        colour, marker = style[run.system]
        for model, line in zip([FULL, *students], _LINES * len(run.curves), strict=False):
            if points := run.curves.get(model):
                name = f"{_label(run.system)}, {'full model' if model == FULL else model}"
                axes.plot(
                    *zip(*points, strict=True),
                    **{"color": colour, "linestyle": line, "linewidth": 1.2},
                    **{"marker": marker, "markersize": 4, "markevery": 1 + len(points) // 10},
                    label=None if name in named else name,
                )
                named.add(name)
    axes.set(xlabel="updates", ylabel="validation loss (bits per target token)")
    columns = max(1, min(3, _LEGEND_WIDTH // (6 + max(map(len, named), default=0))))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    figure.set_figheight(3.8 + 0.25 * (len(named) / columns))
    return figure


def _points(records):
    return [
        _Point(
            *(system, depth, sum(layers_of(runs[0]).counts)),
            *_spread(runs, "sentences_per_second"),
            *_spread(runs, "bleu"),
            runs[0]["parameters"],
        )
        for (system, depth), runs in grouped(records).items()
    ]


def _spread(runs, key):
    values = [run[key] for run in runs]
    return mean(values), stdev(values) if len(values) > 1 else None


def _depth(model):
    """For sorting "4x4", "3x3": the deepest first."""
    return -sum(Layers.parse(model).counts), model


def _label(text):
    """Any text as a label: shortened, not read as a formula, not hidden for a leading "_"."""
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def _focus(axes, points, across):
    """Set the BLEU axis to show the differences that matter, over at least two points of BLEU.

    Points below half of the best BLEU stay out of view, because the others would be squeezed
    together above them: an arrow and a figure at the bottom stand for each.

    Returns: the points in view.
    """
    half = max(point.bleu for point in points) / 2
    seen = [point for point in points if point.bleu >= half]
    low = [point for point in points if point.bleu < half]
    bottom = min(point.bleu - (point.bleu_bar or 0) for point in seen)
    top = max(point.bleu + (point.bleu_bar or 0) for point in seen)
    reach = max(0.6 * (top - bottom), 1)
    axes.set_ylim(
        (top + bottom) / 2 - reach * (1.2 if low else 1),
        (top + bottom) / 2 + reach,
    )
    for i, point in enumerate(low):
        x = getattr(point, across)
        axes.annotate(
            f"↓ {point.name}: {point.bleu:.1f}",
            (x, 0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 4 + 12 * i),
            textcoords="offset points",
            horizontalalignment="left" if x < mean(axes.get_xlim()) else "right",
            **_NOTE,
        )
    return seen


def _place(axes, points, radii):
    """Write a name beside each marker, where it overlaps least with markers and other names."""
    from matplotlib.transforms import Bbox

    a_point = axes.figure.dpi / 72  # in pixels
    taken = []
    for point, radius in zip(points, radii, strict=True):
        x, y = axes.transData.transform((point.speed, point.bleu))
        reach = radius * a_point
        taken.append(Bbox.from_extents(x - reach, y - reach, x + reach, y + reach))

    def covered(note):
        box = note.get_window_extent()
        outside = box.x0 < axes.bbox.x0 or box.x1 > axes.bbox.x1
        return box.count_overlaps(taken) + outside

    for point, radius in zip(points, radii, strict=True):
        notes = [
            axes.annotate(
                point.name,
                (point.speed, point.bleu),
                xytext=(right * (radius + 3), up * (radius + 3)),
                textcoords="offset points",
                **{"horizontalalignment": side, "verticalalignment": edge, **_NOTE},
            )
            for right, up, side, edge in _PLACES
        ]
        best = min(notes, key=covered)
        taken.append(best.get_window_extent())
        for note in notes:
            if note is not best:
                note.remove()
