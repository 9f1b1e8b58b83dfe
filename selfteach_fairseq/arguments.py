"""What several commands' arguments share."""

import argparse
import math
import os
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': must be a number from 1")
    return int(text)


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text}': must be a number, such as 1.2")
    return value


def table(text: str) -> str:
    """The name of a CSV file to write, which is no record's."""
    if text.endswith(".json"):
        raise argparse.ArgumentTypeError(f"'{text}': is a record's name: write one in .csv")
    return text


def threads_within(asked: int | None) -> int | None:
    """The same. Raises: ValueError for more threads than CPUs: too many crash CTranslate2."""
    usable = len(os.sched_getaffinity(0))
    if asked and asked > usable:
        raise ValueError(f"--threads {asked}: there are {usable} CPUs: name at most that")
    return asked


def add_output(command: argparse.ArgumentParser, what: str = "checkpoint") -> None:
    command.add_argument("-o", "--output", required=True, help=f"file to write: the {what}")
    command.add_argument("--force", action="store_true", help="replace the output if it is there")
