"""Training curves: the validation losses of the trainings in a folder of results."""

import re
from pathlib import Path
from typing import NamedTuple

from ..gradual.state import STATE, read_state, stage_folder
from ..programs.logs import FULL, LOSS, Curves, read

_NAME = re.compile(r"train-(.+)-seed(\w+)")


class Run(NamedTuple):
    """A training: its method, its seed, and each model's (update, bits per token) points."""

    system: str
    seed: str
    curves: Curves


def runs(folder: Path | str, figure: str = LOSS) -> list[Run]:
    """The trainings with validation losses in a folder of results, from logs/train-*.log.

    Args:
        figure: of validation, as fairseq's log calls the full model's

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
        schedule = next((one for one in schedules if (one / STATE).is_file()), None)
        if path.is_file() and system.isprintable():
            curves = _of_schedule(schedule, figure) if schedule else read(path, figure)
            if curves:
                found.append(Run(system, seed, curves))
    return found


def _of_schedule(folder, figure):
    """Like read(), for a gradual schedule: each depth as a student and then as the full model.

    Updates are counted through all stages. "full" is the depth that the schedule starts with.
    """
    curves, before, first = {}, 0, None
    for number, stage in enumerate(read_state(folder / STATE)["stages"], start=1):
        first = first or stage["full"]
        log = stage_folder(folder, number, stage["full"]) / "train.log"
        for model, points in (read(log, figure) if log.is_file() else {}).items():
            depth = stage["full"] if model == FULL else model
            name = FULL if depth == first else depth
            curves.setdefault(name, []).extend((before + u, bits) for u, bits in points)
        before += stage.get("updates") or 0
    return curves
