"""The pictures of a report: quality against layers and speed, and training curves.

A system has the same colour and marker in each picture; where models are in several engines, the
markers are the engines'.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .. import pictures
from ..evaluation.groups import grouped
from ..evaluation.records import FAIRSEQ, TRANSLATIONS, Kind, Record, kind_of, layers_of
from ..layers import Layers
from ..programs.logs import FULL
from .curves import Run
from .labels import label, place
from .points import focus, points_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Styles = dict[str, tuple[str, str]]  # a colour and a marker by system

_LINES = ("-", "--", ":", "-.")  # the full model, and its students
_SMALL: dict[str, Any] = {"width": 4.6, "height": 4}
_LARGE: dict[str, Any] = {"width": 7, "height": 5}
_EDGE: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.5}  # of a marker
_MOST_NAMED = 9  # models with names beside their markers in a small picture
_MOST_DEPTHS = 24  # with their depths alone, in a large one
_LARGEST = 300  # area of the largest model's marker, in square points
_LEGEND_WIDTH = 84  # characters in a line below the widest picture; a line's sample takes six


def styles(systems: Iterable[str]) -> Styles:
    """A colour and a marker for each system, a different pair for each of the first 49."""
    colours, markers = pictures.COLOURS, pictures.MARKERS
    return {
        system: (colours[i % len(colours)], markers[(i + i // len(colours)) % len(markers)])
        for i, system in enumerate(dict.fromkeys(systems))
    }


def engine_of_layers(records: list[Record]) -> str:
    """The engine whose scores layers() draws: fairseq, or else the first; empty if it is the only.

    Scores in other engines are all but the same, and would hide each other there.
    """
    engines = dict.fromkeys(model.engine for model in grouped(records))
    return min(engines, key=lambda engine: not engine.startswith(FAIRSEQ))


def large(records: list[Record]) -> bool:
    """Whether there is too much to show in a small picture."""
    models = grouped(records)
    return len(models) > _MOST_NAMED or len({model.engine for model in models}) > 1


def layers(records: list[Record], style: Styles) -> "Figure":
    """The score against the sum of encoder and decoder layers, one line for each system.

    Of one engine: see engine_of_layers(). The systems are shifted sideways a little, so that none
    hides another's bar.
    """
    figure, axes = pictures.new(**(_LARGE if large(records) else _SMALL))
    engine = engine_of_layers(records)
    points = sorted(points_of(records), key=lambda point: point.layers)
    points = [point for point in points if point.model.engine == engine]
    step = 0.015 * (points[-1].layers - points[0].layers)
    for i, (system, (colour, marker)) in enumerate(style.items()):
        of_one = [point for point in points if point.model.system == system]
        if of_one:
            axes.errorbar(
                [point.layers + step * (i - (len(style) - 1) / 2) for point in of_one],
                [point.score for point in of_one],
                [point.score_bar or float("nan") for point in of_one],
                **{"color": colour, "marker": marker, "capsize": 4, "label": label(system)},
            )
    depths: dict[float, dict[str, bool]] = {}
    for point in points:
        depths.setdefault(point.layers, {})[point.model.layers] = True
    axes.set_xticks(list(depths), ["\n".join(names) for names in depths.values()])
    axes.margins(x=0.1)
    encoder_only = layers_of(records[0]).decoder is None
    axes.set(
        xlabel=f"layers{'' if encoder_only else ' (encoder x decoder)'}",
        ylabel=kind_of(records[0]).name,
    )
    focus(axes, points, "layers")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def speed(records: list[Record], style: Styles, least: float | None = None) -> "Figure":
    """The score against sentences per second; a marker's area shows the number of parameters.

    Args:
        least: a score to draw a line at
    """
    figure, axes = pictures.new(**(_LARGE if large(records) else _SMALL))
    points = points_of(records)
    kinds = _kinds(points, style)
    engines = len({engine for _, engine in kinds}) > 1
    named = len(points) <= _MOST_DEPTHS if engines else not large(records)
    sizes = sorted({point.parameters for point in points})
    area = _LARGEST / (sizes[-1] or 1)  # of one parameter
    thin = {"elinewidth": 1, "capsize": 2, "alpha": 0.6} if engines else {"capsize": 4}
    for (system, engine), (colour, marker) in kinds.items():
        of_one = [p for p in points if (p.model.system, p.model.engine) == (system, engine)]
        if engines:
            of_one.sort(key=lambda point: point.speed)  # a line to and fro would cross the others
        xs, ys = [point.speed for point in of_one], [point.score for point in of_one]
        axes.plot(xs, ys, color=colour, alpha=0.3, zorder=1)
        for point in of_one:
            bars = {"yerr": point.score_bar, "xerr": point.speed_bar, **thin}
            axes.errorbar(point.speed, point.score, **bars, color=colour, zorder=2)
        areas = [area * point.parameters for point in of_one]
        axes.scatter(xs, ys, areas, color=colour, marker=marker, **_EDGE, alpha=0.7, zorder=3)
    if least is not None:
        axes.axhline(least, color="0.5", linestyle="--", linewidth=1, zorder=0)
    axes.margins(0.15)
    axes.set(xlabel="speed (sentences per second)", ylabel=kind_of(records[0]).name)
    seen = focus(axes, points, "speed")
    grey = [
        axes.scatter([], [], area * size, color="0.6", label=f"{size / 1e6:.2f} M parameters")
        for size in dict.fromkeys((sizes[0], sizes[-1]))
    ]
    _explain(figure, axes, kinds, grey, named)
    if named:
        figure.draw_without_rendering()  # fixes the positions that place() needs
        heads = ["" if engines else f"{label(point.model.system)} " for point in seen]
        names = [head + point.model.layers for head, point in zip(heads, seen, strict=True)]
        radii = [(area * point.parameters) ** 0.5 / 2 for point in seen]
        spots = [(point.speed, point.score) for point in seen]
        place(axes, [*zip(names, spots, radii, strict=True)])
    return figure


def _kinds(points, style):
    """The colour and the marker of each system's models in each engine."""
    found = dict.fromkeys((point.model.system, point.model.engine) for point in points)
    engines = list(dict.fromkeys(engine for _, engine in found))
    kinds = {}
    for system, (colour, own) in style.items():
        for i, engine in enumerate(engines):
            if (system, engine) in found:
                several = len(engines) > 1
                marker = pictures.MARKERS[i % len(pictures.MARKERS)] if several else own
                kinds[system, engine] = colour, marker
    return kinds


def _explain(figure, axes, kinds, sizes, named):
    """The legend: systems, and engines beside them if there are several, and sizes."""
    systems = {system: kind for (system, _), kind in kinds.items()}
    engines = {engine: ("0.2", marker) for (_, engine), (_, marker) in kinds.items()}
    columns = [[] if named else _samples(axes, systems), sizes]
    if len(engines) > 1:
        squares = {system: (colour, "s") for system, (colour, _) in systems.items()}
        columns = [_samples(axes, squares), _samples(axes, engines), sizes]
        longest, blank = max(map(len, columns)), axes.scatter([], [], 0, label=" ")
        columns = [[*column, *[blank] * (longest - len(column))] for column in columns]
    handles = [handle for column in columns for handle in column]
    ncols = 3 if len(engines) > 1 or not named else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, frameon=False)


def _samples(axes, kinds):
    """For a legend: a marker of each kind, which are colours and markers by name."""
    return [
        axes.scatter([], [], 40, color=colour, marker=marker, label=label(name), **_EDGE)
        for name, (colour, marker) in kinds.items()
    ]


def training(runs: list[Run], style: Styles, kind: Kind = TRANSLATIONS) -> "Figure":
    """A figure of validation against updates: one line for each model, full or student, and seed.

    Args:
        kind: of the records, which says whose course it is
    """
    figure, axes = pictures.new(width=7, height=4.4)
    named: set[str] = set()
    for run in runs:
        students = sorted((model for model in run.curves if model != FULL), key=_depth)
        colour, marker = style[run.system]
        for model, line in zip([FULL, *students], _LINES * len(run.curves), strict=False):
            if points := run.curves.get(model):
                name = f"{label(run.system)}, {'full model' if model == FULL else model}"
                axes.plot(
                    *zip(*points, strict=True),
                    **{"color": colour, "linestyle": line, "linewidth": 1.2},
                    **{"marker": marker, "markersize": 4, "markevery": 1 + len(points) // 10},
                    label=None if name in named else name,
                )
                named.add(name)
    axes.set(xlabel="updates", ylabel=f"validation {kind.figure_name}")
    columns = max(1, min(3, _LEGEND_WIDTH // (6 + max(map(len, named), default=0))))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    figure.set_figheight(3.8 + 0.25 * (len(named) / columns))
    return figure


def _depth(model):
    """For sorting "4x4", "3x3": the deepest first."""
    return -sum(Layers.parse(model).counts), model
