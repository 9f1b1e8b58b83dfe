"""Depths of models, such as 3 or 6x3, and the students of a model, such as last3x3: the package's
grammar of layers, for the recipes."""

import sys
from pathlib import Path

# The one file, not the package, which would import fairseq: that takes five seconds.
sys.path.append(str(Path(__file__).absolute().parent.parent / "selfteach_fairseq"))

from layers import Layers, layers_of_metric

__all__ = [
    "evenly",
    "kept_of_cut",
    "layers_of_metric",
    "own_depth",
    "parse_depth",
    "parse_layers",
    "repeated",
    "sides",
    "smaller",
]


def parse_layers(word: str, encoder_only: bool = False) -> Layers:
    """What a student is made of: its depth, or other layers, such as last3x3 or 0+2x0+2.

    Raises: ValueError if it is none.
    """
    layers = Layers.parse(word, encoder_only)
    if 0 in layers.counts:
        raise ValueError(f"'{word}' has no layers")
    return layers


def parse_depth(word: str) -> Layers:
    """The depth of a model, such as 3 or 6x3.

    Raises: ValueError if it is none.
    """
    depth = parse_layers(word)
    if not depth.are_first:
        raise ValueError(f"'{word}' is no depth")
    return depth


def own_depth(word: str) -> str:
    """The depth of a model of a student's size: 3 of last3."""
    if parse_layers(word).are_first:
        return word
    encoder, decoder = sides(word)
    return str(encoder) if encoder == decoder else f"{encoder}x{decoder}"


def kept_of_cut(word: str) -> str:
    """Options of `selfteach truncate` that keep all of a model that was cut to these layers before
    it was trained further."""
    made_of = "" if parse_layers(word).are_first else f" --made-of {word}"
    return f"--layers {own_depth(word)}{made_of}"


def smaller(students: tuple[str, ...], depth: str, strict: bool) -> tuple[str, ...]:
    """The students that are smaller than a model.

    Raises: ValueError if one has more layers than the model, if `strict`.
    """
    found = []
    for student in students:
        try:
            parse_layers(student).within(parse_depth(depth))
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


def repeated(words: tuple[str, ...]) -> str | None:
    """The first that an earlier one says already, may be as 2x2 for 2; they need not be depths."""
    said: list[str] = []
    for word in words:
        try:
            layers = str(parse_layers(word))
        except ValueError:
            layers = word
        if layers in said:
            return word
        said.append(layers)
    return None


def sides(depth: str) -> tuple[int, int]:
    """How many encoder and decoder layers."""
    encoder, decoder = parse_layers(depth).counts
    return encoder, decoder


def evenly(layers: int, kept: int) -> list[int]:
    """The numbers of so many of the layers, evenly spread: of 6 and 3, 0, 2 and 4."""
    return [number * layers // kept for number in range(kept)]
