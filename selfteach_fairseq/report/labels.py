"""Names in pictures: any text as a label, and places for names beside markers."""

from collections.abc import Sequence
from typing import Any

NOTE: dict[str, Any] = {"color": "0.2", "fontsize": 9}  # some systems' colours are too light
_LONGEST = 30  # characters of a label
_PLACES = (  # of a label beside a marker: its direction and its alignment
    *((0.8, 0.8, "left", "bottom"), (0.8, -0.8, "left", "top")),
    *((-0.8, 0.8, "right", "bottom"), (-0.8, -0.8, "right", "top")),
    *((1, 0, "left", "center"), (-1, 0, "right", "center")),
    *((0, 1, "center", "bottom"), (0, -1, "center", "top")),
)


def label(text: str) -> str:
    """Any text as a label: shortened, not read as a formula, not hidden for a leading "_"."""
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def place(axes: Any, markers: Sequence[tuple[str, tuple[float, float], float]]) -> None:
    """Write a name beside each marker, where it overlaps least with markers and other names.

    Args:
        axes: of a figure that was drawn, so that its positions are fixed
        markers: (name, (x, y), radius), the radius in points
    """
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    a_point = axes.figure.dpi / 72  # in pixels
    taken = []
    for _, position, radius in markers:
        x, y = axes.transData.transform(position)
        reach = radius * a_point
        taken.append(Bbox.from_extents(x - reach, y - reach, x + reach, y + reach))

    def covered(note):
        box = note.get_window_extent()
        outside = box.x0 < axes.bbox.x0 or box.x1 > axes.bbox.x1
        return box.count_overlaps(taken) + outside

    for name, position, radius in markers:
        notes = [
            axes.annotate(
                name,
                position,
                xytext=(right * (radius + 3), up * (radius + 3)),
                textcoords="offset points",
                **{"horizontalalignment": side, "verticalalignment": edge, **NOTE},
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
            for right, up, side, edge in _PLACES
        ]
        best = min(notes, key=covered)
        taken.append(best.get_window_extent())
        for note in notes:
            if note is not best:
                note.remove()
