"""Which layers a sub-model keeps: one type and one grammar for training, cutting, logs and tables.

    3            the first three layers of every side
    6x3          the first six encoder layers and the first three decoder layers
    last3x3      the last three encoder layers and the first three decoder layers; also: last3
    0+2+4x0+2    the layers of these numbers, from 0 as in fairseq; a single one is +4

A model's own depth is such a choice, too: of all its layers.
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

SIDES = ("encoder", "decoder")
_SIDE = re.compile(
    r"(?P<last>last)?(?P<count>[0-9]{1,4})|(?P<numbers>\+?[0-9]{1,4}(\+[0-9]{1,4})*)"
)
_METRIC = re.compile(r"student_([a-z0-9_]+)_nll_loss")


class Choice(NamedTuple):
    """Layers of one side: its first ones, its last ones, or those of some numbers."""

    size: int
    last: bool = False
    listed: bool = False
    numbers: tuple[int, ...] = ()  # if listed

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "Choice":
        """The layers of these numbers, from 0."""
        numbers = tuple(numbers)
        if numbers and numbers == tuple(range(len(numbers))):
            return cls(len(numbers))
        return cls(len(numbers), listed=True, numbers=numbers)

    @property
    def are_first(self) -> bool:
        return not (self.last or self.listed)

    @property
    def rise(self) -> bool:
        """Whether they are in order, and there are any."""
        return all(a < b for a, b in pairwise(self.numbers)) and self.size > 0

    def within(self, depth: int, side: str) -> tuple[int, ...]:
        """The layers' numbers in a side of so many. Raises: ValueError if it lacks one."""
        if self.listed:
            if not self.rise or self.numbers[0] < 0 or self.numbers[-1] >= depth:
                raise ValueError(
                    f"has {depth} {side} layers, 0 to {depth - 1}: keep some of these, in rising "
                    f"order, not {self or 'none'}"
                )
            return self.numbers
        if not 1 <= self.size <= depth:
            raise ValueError(f"asks for {self.size} {side} layers: choose 1 to {depth}")
        return tuple(range(depth))[-self.size if self.last else 0 :][: self.size]

    def __str__(self) -> str:
        if self.listed:
            return "+" * (self.size == 1) + "+".join(map(str, self.numbers))
        return f"last{self.size}" if self.last else str(self.size)


class Layers(NamedTuple):
    """The layers that a sub-model keeps of each side; `decoder` is None where there is none."""

    encoder: Choice
    decoder: Choice | None

    @classmethod
    def first(cls, encoder: int, decoder: int | None = None) -> "Layers":
        """So many first layers; of a model without a decoder, None of these."""
        return cls(Choice(encoder), None if decoder is None else Choice(decoder))

    @classmethod
    def of(cls, encoder: Iterable[int], decoder: Iterable[int] | None) -> "Layers":
        """The layers of these numbers, from 0."""
        return cls(Choice.of(encoder), None if decoder is None else Choice.of(decoder))

    @classmethod
    def parse(cls, spec: str, encoder_only: bool = False) -> "Layers":
        """Read a choice of layers. `3` is 3x3, unless the model has an encoder only.

        Raises: ValueError if `spec` is none.
        """
        sides = spec.strip().split("x")
        found = [match for side in sides if (match := _SIDE.fullmatch(side))]
        if len(found) < len(sides) or len(sides) > (1 if encoder_only else 2):
            raise ValueError(
                f"{spec!r} is no choice of layers: write 3, 6x3 for encoder x decoder, "
                "last3x3 for the last ones of the encoder, or numbers from 0: 0+2+4x0+2"
            )
        choices = [
            Choice(int(side["count"]), bool(side["last"]))
            if side["count"]
            else Choice.of(tuple(map(int, side["numbers"].strip("+").split("+"))))
            for side in found
        ]
        if not all(choice.rise for choice in choices if choice.listed):
            raise ValueError(f"{spec!r}: its layers are not in rising order: write 0+2+4")
        if encoder_only:
            return cls(choices[0], None)
        decoder = choices[-1] if len(choices) > 1 else choices[0]._replace(last=False)
        if decoder.last:
            raise ValueError(f"{spec!r} cuts the decoder's first layers: its last ones read these")
        return cls(choices[0], decoder)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many layers it keeps of each side that there is."""
        return tuple(choice.size for choice in self if choice)

    @property
    def are_first(self) -> bool:
        """Whether it keeps the first layers of each side."""
        return all(choice.are_first for choice in self if choice)

    @classmethod
    def read(cls, written: str) -> "Layers":
        """Those that str() has written. Raises: ValueError, see parse()."""
        return cls.parse(written, encoder_only="x" not in written)

    def within(self, depth: "Layers") -> dict[str, tuple[int, ...]]:
        """The layers' numbers by side, in a model of some depth.

        Raises: ValueError if the model lacks one.
        """
        numbers = {}
        for side, choice, every in zip(SIDES, self, depth, strict=True):
            if (choice is None) != (every is None):
                raise ValueError(f"{self} is not of the model's sides, {depth}")
            if choice and every:
                try:
                    numbers[side] = choice.within(every.size, side)
                except ValueError as error:
                    name = "" if choice.listed else f"{self} "
                    raise ValueError(f"{name}{error}") from None
        return numbers

    def __str__(self) -> str:
        return "x".join(str(choice) for choice in self if choice)

    def are_all(self, depth: "Layers") -> bool:
        """Whether they are the whole of a model. Raises: ValueError if it lacks one."""
        return self.within(depth) == depth.within(depth)

    @property
    def metric(self) -> str:
        """The name of such a student's validation loss in fairseq's logs: [a-z0-9_] only."""
        return f"student_{str(self).replace('+', '_')}_nll_loss"


def layers_of_metric(name: str) -> Layers | None:
    """The student whose validation loss has this name; None if it is another figure's."""
    found = _METRIC.fullmatch(name)
    written = found[1].replace("_", "+") if found else ""
    try:
        layers = Layers.read(written)
    except ValueError:
        return None
    return layers if str(layers) == written else None


def parse_students(specs: str, encoder_only: bool = False) -> tuple[Layers, ...]:
    """Read a comma-separated list such as `3`, `6x3` or `4,3,2`: different choices of layers.

    Raises: ValueError if the list is empty, an entry is malformed, or one stands twice.
    """
    students = tuple(Layers.parse(spec, encoder_only) for spec in specs.split(","))
    repeated = sorted({str(student) for student in students if students.count(student) > 1})
    if repeated:
        raise ValueError(f"{specs!r} names {', '.join(repeated)} more than once: name it once")
    return students


def students_within(specs: str | None, full: Layers, with_full: bool = False) -> tuple[Layers, ...]:
    """The students of a model that `--student-layers` names; without it the one of half depth.

    Args:
        with_full: the whole model may be among them

    Raises: ValueError if it is malformed, or names one that is no part of the model.
    """
    if specs is None:
        half = Layers.first(*(max(1, count // 2) for count in full.counts))
        if half == full:
            raise ValueError(
                f"of {full} layers there is no smaller student: train with fairseq's own criterion"
            )
        return (half,)
    try:
        students = parse_students(specs, encoder_only=full.decoder is None)
        known: dict[tuple, Layers] = {}
        for student in students:
            if student.are_all(full) and not with_full:
                raise ValueError(f"{student} is the whole model: name a student of fewer layers")
            same = known.setdefault(tuple(student.within(full).values()), student)
            if same is not student:
                raise ValueError(f"{student} is the same layers as {same}: name them once")
    except ValueError as error:
        raise ValueError(f"--student-layers {specs}: {error}") from None
    return students
