"""Which sub-model is a student: so many first encoder layers, so many first decoder layers."""

import re
from typing import NamedTuple

_SPEC = re.compile(r"(\d{1,4})(?:x(\d{1,4}))?")


class Student(NamedTuple):
    """The sub-model made of a Transformer's first encoder and decoder layers."""

    encoder_layers: int
    decoder_layers: int

    def __str__(self):
        return f"{self.encoder_layers}x{self.decoder_layers}"

    @classmethod
    def parse(cls, spec):
        """Read `3` (three encoder and three decoder layers) or `6x3`.

        Raises: ValueError if `spec` is neither.
        """
        match = _SPEC.fullmatch(spec.strip())
        if not match:
            raise ValueError(
                f"{spec!r} is no choice of layers: write 3, or 6x3 for encoder x decoder"
            )
        encoder_layers = int(match[1])
        return cls(encoder_layers, int(match[2] or encoder_layers))

    def check_fits(self, encoder_layers, decoder_layers):
        """Raises: ValueError unless a model of this depth contains the student."""
        for side, wanted, there in (
            ("encoder", self.encoder_layers, encoder_layers),
            ("decoder", self.decoder_layers, decoder_layers),
        ):
            if not 1 <= wanted <= there:
                raise ValueError(f"{self} asks for {wanted} {side} layers: choose 1 to {there}")


def parse_students(specs):
    """Read a comma-separated list such as `3`, `6x3` or `4,3,2` into distinct Students.

    Raises: ValueError if the list is empty, an entry is malformed, or one stands twice.
    """
    students = tuple(Student.parse(spec) for spec in specs.split(","))
    repeated = sorted({str(student) for student in students if students.count(student) > 1})
    if repeated:
        raise ValueError(f"{specs!r} names {', '.join(repeated)} more than once: name it once")
    return students
