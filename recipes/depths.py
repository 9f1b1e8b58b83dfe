"""Depths of models, such as 3 or 6x3: the package's grammar of layers, for the recipes."""

import sys
from pathlib import Path

# The one file, not the package, which would import fairseq: that takes five seconds.
sys.path.append(str(Path(__file__).absolute().parent.parent / "selfteach_fairseq"))

from layers import Layers, layers_of_metric

__all__ = ["evenly", "layers_of_metric", "parse_depth", "sides", "smaller"]


def parse_depth(word: str) -> Layers:
    """The depth of a model, such as 3 or 6x3.

    Raises: ValueError if it is none.
    """
    depth = Layers.parse(word)
    if not depth.are_first or 0 in depth.counts:
        raise ValueError(f"'{word}' is no depth")
    return depth


def smaller(students: tuple[str, ...], depth: str, strict: bool) -> tuple[str, ...]:
    """The students that are smaller than a model.

    Raises: ValueError if one has more layers than the model, if `strict`.
    """
    found = []
    for student in students:
        try:
            parse_depth(student).within(parse_depth(depth))
        except ValueError:
            if strict:
                raise ValueError(
                    f'STUDENTS="{" ".join(students)}": a model of LAYERS={depth} has no student of '
                    f"{student} layers"
                ) from None
            continue
        if sides(student) != sides(depth):
            found.append(student)
    return tuple(found)


def sides(depth: str) -> tuple[int, int]:
    """How many encoder and decoder layers."""
    encoder, decoder = parse_depth(depth).counts
    return encoder, decoder


def evenly(layers: int, kept: int) -> list[int]:
    """The numbers of so many of the layers, evenly spread: of 6 and 3, 0, 2 and 4."""
    return [number * layers // kept for number in range(kept)]
