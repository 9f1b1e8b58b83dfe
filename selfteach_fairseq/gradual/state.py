"""What a gradual schedule has cost and reached so far, and where its stages' runs are."""

from pathlib import Path
from typing import Any

from ..files import read_json
from ..layers import Layers

STATE = "schedule.json"


def stage_folder(folder: Path | str, number: int, full: Layers | str) -> Path:
    """Where a stage's run is, by the stage's number from 1 and its model's depth."""
    return Path(folder) / f"stage{number}-{full}"


def read_state(path: Path | str) -> dict[str, Any]:
    """What `schedule.json` says. Raises: ValueError if it is none of `selfteach gradual`."""
    try:
        state = read_json(path)
        stages = state["stages"]
        if state["version"] != 1 or not all(isinstance(stage, dict) for stage in stages):
            raise ValueError
        state["init_sha256"]
        for stage in stages:
            Layers.read(stage["full"])
            if not isinstance(stage.get("updates", 0), int):
                raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path}: is no account of `selfteach gradual` that this version reads: "
            "choose another folder"
        ) from None
    return state
