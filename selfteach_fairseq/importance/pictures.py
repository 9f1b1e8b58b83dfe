"""Pictures of layer importance, after figures 1, 2 and 5 of Li and Odoom (2023)."""

from pathlib import Path
from typing import TYPE_CHECKING

from .. import pictures
from .importance import ALL, PARTS, SIDES

if TYPE_CHECKING:
    from .run import Row

NAMES = ("training", "ranks", "depth", "sides", "sub-layers")
_LEGEND = {"frameon": False, "fontsize": "small"}


def draw(rows: list["Row"], folder: Path | str) -> list[str]:
    """Draw the rows of a run; with several checkpoints also their course through training.

    Args:
        rows: list of importance_run.Row
        folder: gets NAME.png and NAME.svg for each NAME in NAMES that is drawn

    Returns: the names of the pictures drawn.
    Raises: ValueError if matplotlib is missing; OSError if a picture can't be written.
    """
    layers = [row for row in rows if row.part == ALL]
    last = [row for row in rows if row.updates == rows[-1].updates]
    drawn = {"sides": _sides([row for row in last if row.part == ALL])}
    if len(last) < len(rows):
        drawn["training"] = _through(layers, "importance", _label(rows))
        drawn["ranks"] = _through(layers, "rank", "rank (1: most important)")
        drawn["depth"] = _by_depth(layers)
    if len(layers) < len(rows):
        drawn["sub-layers"] = _by_part(last)
    for name, figure in drawn.items():
        pictures.save(figure, Path(folder) / name)
    return list(drawn)


def _through(rows, field, label):
    """One line through training for each layer."""
    figure, panels = _panels(rows, "updates")
    panels[0].set_ylabel(label)
    shades = _shades("viridis", 0, 0.85, max(row.layer for row in rows))
    for panel, side in zip(panels, _present(rows), strict=True):
        for number, line in enumerate(_lines(rows, side, "layer")):
            panel.plot(
                [row.updates for row in line],
                [getattr(row, field) for row in line],
                color=shades[number],
                marker=pictures.MARKERS[number % len(pictures.MARKERS)],
                markersize=4,
                label=line[0].layer,
            )
    if field == "rank":
        panels[0].set_yticks(range(1, len(shades) + 1))
        panels[0].invert_yaxis()
    else:
        _logarithmic(panels[0], rows)
    deeper = max(panels, key=lambda panel: len(panel.lines))
    handles = deeper.get_legend_handles_labels()
    figure.legend(*handles, title="layer", loc="outside right upper", **_LEGEND)
    return figure


def _by_depth(rows):
    """One line over the layers for each checkpoint; later ones are darker."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    figure, panels = _panels(rows, "layer")
    panels[0].set_ylabel(_label(rows))
    shades = ListedColormap(_shades("Blues", 0.3, 1, 256))
    scale = Normalize(rows[0].updates, rows[-1].updates)
    for panel, side in zip(panels, _present(rows), strict=True):
        for line in _lines(rows, side, "updates"):
            values = [row.importance for row in line]
            colour = shades(scale(line[0].updates))
            panel.plot([row.layer for row in line], values, color=colour, marker="o", markersize=4)
    _logarithmic(panels[0], rows)
    figure.colorbar(ScalarMappable(scale, shades), ax=list(panels), label="updates")
    return figure


def _sides(rows):
    """Encoder beside decoder, layer by layer, at one checkpoint."""
    figure, axes = pictures.new()
    width = 0.4
    sides = _present(rows)
    for number, side in enumerate(sides):
        (line,) = _lines(rows, side, "side")
        axes.bar(
            [row.layer + (number - (len(sides) - 1) / 2) * width for row in line],
            [row.importance for row in line],
            width=width,
            color=pictures.COLOURS[number],
            hatch=("", "//")[number],
            edgecolor="white",
            label=side,
        )
    axes.set(xlabel="layer", ylabel=_label(rows), title=f"after {rows[0].updates:,} updates")
    axes.set_xticks(range(1, max(row.layer for row in rows) + 1))
    axes.ticklabel_format(axis="y", scilimits=(0, 0))
    axes.set_axisbelow(True)
    axes.legend(**_LEGEND)
    return figure


def _by_part(rows):
    """One line over the layers for each kind of sub-layer, at one checkpoint."""
    rows = [row for row in rows if row.part != ALL]
    figure, panels = _panels(rows, "layer")
    panels[0].set_ylabel(_label(rows))
    for panel, side in zip(panels, _present(rows), strict=True):
        for line in _lines(rows, side, "part"):
            number = list(PARTS).index(line[0].part)
            panel.plot(
                [row.layer for row in line],
                [row.importance for row in line],
                color=pictures.COLOURS[number],
                marker=pictures.MARKERS[number],
                label=line[0].part,
            )
    _logarithmic(panels[0], rows)
    panels[-1].legend(**_LEGEND)
    return figure


def _panels(rows, x):
    """Encoder and decoder side by side; `x`, "updates" or "layer", labels their x axes."""
    sides = _present(rows)
    figure, panels = pictures.new(columns=len(sides), width=4.2, sharey=True)
    panels = [panels] if len(sides) == 1 else panels
    for panel, side in zip(panels, _present(rows), strict=True):
        panel.set(title=side, xlabel=x)
        if x == "layer":
            panel.set_xticks(range(1, max(row.layer for row in rows if row.side == side) + 1))
    return figure, panels


def _present(rows):
    """The sides that the model has."""
    return [side for side in SIDES if any(row.side == side for row in rows)]


def _label(rows):
    unit = "token" if len(_present(rows)) > 1 else "sentence"  # a classifier has no decoder
    return f"importance (nats per {unit})"


def _lines(rows, side, field):
    """The rows of a side in groups that have the same value of a field."""
    lines = {}
    for row in rows:
        if row.side == side:
            lines.setdefault(getattr(row, field), []).append(row)
    return list(lines.values())


def _shades(name, first, last, count):
    """Colours evenly spaced over a part of one of matplotlib's colour maps."""
    import matplotlib

    colours = matplotlib.colormaps[name]
    return [colours(first + (last - first) * i / max(1, count - 1)) for i in range(count)]


def _logarithmic(axes, rows):
    """Use a log scale, because importance varies by orders of magnitude; zero has no logarithm."""
    if all(row.importance > 0 for row in rows):
        axes.set_yscale("log")
