"""Training curves: the validation losses in fairseq-train's log."""

import math
import re
from pathlib import Path
from typing import NamedTuple

from .account import ACCOUNT, read_account, stage_folder
from .layers import layers_of_metric

FULL = "full"  # the name of the full model beside those of its students
_NAME = re.compile(r"train-(.+)-seed(\w+)")
_ANEW = "| fairseq.trainer | No existing checkpoint found "
_RESUMED = re.compile(r"\| fairseq\.trainer \| Loaded checkpoint .* @ (\d{1,15}) updates\)")
_LONGEST = 100_000  # characters of a line; the longest one lists a training's settings
_MOST = 1e15  # updates or bits; no training reaches more


class Run(NamedTuple):
    """A training: its method, its seed, and each model's (update, bits per token) points."""

    system: str
    seed: str
    curves: dict[str, list[tuple[float, float]]]


def runs(folder):
    """The trainings with validation losses in a folder of results, from logs/train-*.log.

    For a gradual schedule it reads the stages' own logs, in the folder named like the log.

    Raises: OSError if a log can't be read, ValueError if a schedule.json is broken.
    """
    found = []
    for path in sorted(Path(folder, "logs").glob("train-*.log")):
        named = _NAME.fullmatch(path.stem)
        system, seed = named.groups() if named else (path.stem.removeprefix("train-"), "")
        # The logs may be links in a folder of other records of the same trainings.
        beside = (Path(folder), path.parent.resolve().parent)
        schedules = [parent / path.stem.removeprefix("train-") for parent in beside]
        schedule = next((one for one in schedules if (one / ACCOUNT).is_file()), None)
        if path.is_file() and system.isprintable():
            curves = _of_schedule(schedule) if schedule else read(path)
            if curves:
                found.append(Run(system, seed, curves))
    return found


def _of_schedule(folder):
    """Like read(), for a gradual schedule: each depth as a student and then as the full model.

    Updates are counted through all stages. "full" is the depth that the schedule starts with.
    """
    curves, before, first = {}, 0, None
    for number, stage in enumerate(read_account(folder / ACCOUNT)["stages"], start=1):
        first = first or stage["full"]
        log = stage_folder(folder, number, stage["full"]) / "train.log"
        for model, points in (read(log) if log.is_file() else {}).items():
            depth = stage["full"] if model == FULL else model
            name = FULL if depth == first else depth
            curves.setdefault(name, []).extend((before + u, bits) for u, bits in points)
        before += stage.get("updates") or 0
    return curves


def read(path):
    """The validation loss in a log of `--log-format simple`.

    A resumed training continues the log and repeats the updates after its last checkpoint; the
    repeated ones count. A training that started from scratch discards what the log had before.
    Anything that is not a validation loss is skipped, because a log may be cut off anywhere.

    Returns: the (update, bits per target token) points of "full" and of each student, such as
        "3x3", in the order of the updates. Empty if there are none.
    """
    curves = {}
    with open(path, encoding="utf-8", errors="replace", newline="\n") as log:
        for line in iter(lambda: log.readline(_LONGEST), ""):
            if _ANEW in line:
                curves = {}
            elif resumed := _RESUMED.search(line):
                for points in curves.values():
                    for update in [u for u in points if u > int(resumed[1])]:
                        del points[update]
            elif "| valid | epoch " in line and line.endswith("\n"):
                update, losses = _validation(line)
                for model, bits in losses.items():
                    curves.setdefault(model, {})[update] = bits
    return {model: sorted(points.items()) for model, points in curves.items() if points}


def _validation(line):
    """The update and each model's loss in a line; values that aren't numbers are skipped."""
    update, losses = None, {}
    for part in line.split(" | "):
        name, _, text = part.strip().partition(" ")
        value = _number(text)
        if value is None:
            continue
        if name == "num_updates":
            update = value
        elif name == "nll_loss":
            losses[FULL] = value
        elif student := layers_of_metric(name):
            losses[str(student)] = value
    return (update, losses) if update is not None else (None, {})


def _number(text):
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value < _MOST else None
