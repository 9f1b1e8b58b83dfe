"""The models with students, a file a family, and what is known of a checkpoint's family."""

from fairseq.models import ARCH_MODEL_INV_REGISTRY

from ..errors import CheckpointError
from .bart import BART
from .family import Family
from .roberta import ROBERTA
from .transformer import TRANSFORMER

FAMILIES = (TRANSFORMER, BART, ROBERTA)


def family_of(architecture: str) -> Family | None:
    """The family of an architecture, fairseq's own or a twin of it; None if it is of none."""
    return next((family for family in FAMILIES if family.has(architecture)), None)


def refusal(architecture: str) -> CheckpointError:
    """Of a checkpoint that is of no family."""
    ours = ", ".join(f"{family.twins}*" for family in FAMILIES)
    stock = ", ".join(name for f in FAMILIES for name in ARCH_MODEL_INV_REGISTRY[f.stock])
    *others, last = (family.stock for family in FAMILIES)
    return CheckpointError(
        f"is of architecture {architecture}: what can be cut or scored is {ours}, or of fairseq's "
        f"models {', '.join(others)} and {last}: {stock}"
    )
