"""Pictures in one style, readable in print and for colour-blind readers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, without the yellow, which is too light on paper.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.markersize": 5,
    "svg.hashsalt": "selfteach",  # the same picture gives the same file
}


def new(
    columns: int = 1, width: float = 5, height: float = 3.6, **options: Any
) -> tuple["Figure", Any]:
    """A figure and its axes: one plot, or an array of `columns` plots side by side.

    Args:
        width, height: of one plot, in inches
        options: of matplotlib's Figure.subplots

    Raises: ValueError if matplotlib is missing.
    """
    with _matplotlib().rc_context(_STYLE):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(columns * width, height), layout="constrained")
        return figure, figure.subplots(1, columns, **options)


def save(figure: "Figure", path: Path | str) -> None:
    """Write NAME.png (150 dots an inch) and NAME.svg, NAME being `path` without its suffix.

    Raises: OSError, with one line, if a file can't be written.
    """
    with _matplotlib().rc_context(_STYLE):
        for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
            with whole(Path(path).with_suffix(suffix)) as file:
                figure.savefig(file, format=suffix[1:], dpi=150, metadata=metadata)


def _matplotlib():
    try:
        import matplotlib
    except ImportError:
        raise ValueError(
            "pictures need matplotlib: pip install 'selfteach_fairseq[plot]'"
        ) from None
    return matplotlib
