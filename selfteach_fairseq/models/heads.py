"""Classification heads: the full model's, and those that students may have of their own."""

import re

from torch import Tensor

from ..layers import Layers

_HEAD = re.compile(r"(classification_heads\.)(.+)_student_([^.]+)(\..+)")
_OWN = "_student_"


def of_student(name: str, student: Layers) -> str:
    """What the head of a student's own is called, in a model whose head has this name."""
    return f"{name}{_OWN}{student}"


def of_model(name: str) -> str:
    """The head that a student's own stands for; any other head's own name."""
    return name.partition(_OWN)[0]


def is_own(name: str) -> bool:
    """Whether a head is a student's own."""
    return _OWN in name


def kept(weights: dict[str, Tensor], layers: Layers, depth: Layers) -> dict[str, Tensor]:
    """The weights of a model that was cut to some layers out of one of some depth.

    A head of their own takes the place of the full model's; without one they have that.
    """
    found, own = {}, {}
    for name, tensor in weights.items():
        match = _HEAD.fullmatch(name)
        if not match:
            found[name] = tensor
        elif _same(match[3], layers, depth):
            own[f"{match[1]}{match[2]}{match[4]}"] = tensor
    return {**found, **own}


def _same(written, layers, depth):
    try:
        return Layers.read(written).within(depth) == layers.within(depth)
    except ValueError:
        return False
