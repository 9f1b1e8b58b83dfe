"""The models with students, a file a family, and what is known of a checkpoint's family."""

from .family import Family
from .transformer import TRANSFORMER

FAMILIES = (TRANSFORMER,)


def family_of(architecture: str) -> Family | None:
    """The family of an architecture, fairseq's own or a twin of it; None if it is of none."""
    return next((family for family in FAMILIES if family.has(architecture)), None)
