"""What fairseq's commands say while they run: their logs, read once for all."""

import math
import re
from pathlib import Path

from ..layers import layers_of_metric

Curves = dict[str, list[tuple[float, float]]]  # (update, bits) points of each model

LOSS = "nll_loss"
FULL = "full"  # the name of the full model beside those of its students
_ANEW = "| fairseq.trainer | No existing checkpoint found "
_RESUMED = re.compile(r"\| fairseq\.trainer \| Loaded checkpoint .* @ (\d{1,15}) updates\)")
_LONGEST = 100_000  # characters of a line; the longest one lists a training's settings
_MOST = 1e15  # updates or bits; no training reaches more


def read(path: Path | str, figure: str = LOSS) -> Curves:
    """The validation loss in a log of `--log-format simple`, or another figure of each model.

    A resumed training continues the log and repeats the updates after its last checkpoint; the
    repeated ones count. A training that started from scratch discards what the log had before.
    Anything that is not a validation loss is skipped, because a log may be cut off anywhere.

    Args:
        figure: as the full model's is called

    Returns: the (update, bits per target token, or the figure) points of "full" and of each
        student, such as "3x3", in the order of the updates. Empty if there are none.
    """
    curves: dict[str, dict[float, float]] = {}
    with open(path, encoding="utf-8", errors="replace", newline="\n") as log:
        for line in iter(lambda: log.readline(_LONGEST), ""):
            if _ANEW in line:
                curves = {}
            elif resumed := _RESUMED.search(line):
                for points in curves.values():
                    for update in [u for u in points if u > int(resumed[1])]:
                        del points[update]
            elif "| valid | epoch " in line and line.endswith("\n"):
                update, losses = _validation(line, figure)
                for model, bits in losses.items():
                    curves.setdefault(model, {})[update] = bits
    return {model: sorted(points.items()) for model, points in curves.items() if points}


def _validation(line, figure):
    """The update and each model's figure in a line; values that aren't numbers are skipped."""
    update, losses = None, {}
    for part in line.split(" | "):
        name, _, text = part.strip().partition(" ")
        value = _number(text)
        if value is None:
            continue
        if name == "num_updates":
            update = value
        elif name == figure:
            losses[FULL] = value
        elif name.endswith(figure) and (
            student := layers_of_metric(name.removesuffix(figure) + LOSS)
        ):
            losses[str(student)] = value
    return (update, losses) if update is not None else (None, {})


def _number(text):
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value < _MOST else None
