"""What the criteria of several passes share: R-Drop, R3F and intra-distillation.

Shapes: B batch.
"""

import logging
from typing import Any

import torch
from torch import Tensor, nn

from ..models.students import drops
from .divergence import DivergenceCriterion

logger = logging.getLogger(__name__)


class PassesCriterion(DivergenceCriterion):
    """Several passes of one model in an update, which are to agree.

    Validation runs one pass, and is fairseq's criterion.
    """

    by_dropout = True  # that alone makes them differ
    is_first = True

    def forward(
        self, model: nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Raises: NotImplementedError without `reduce` in training."""
        if not model.training:
            return super().forward(model, sample, reduce)
        if not reduce:
            raise NotImplementedError("several passes only give the summed loss in training")
        if self.is_first and self.by_dropout and not drops(model):
            logger.warning(
                "nothing in this model drops, so all passes are equal, and cost what they cost: "
                "say --dropout, or train with label_smoothed_cross_entropy"
            )
        self.is_first = False
        return self.in_training(model, sample)

    def in_training(self, model: Any, sample: dict[str, Any]) -> tuple[Tensor, int, dict[str, Any]]:
        """Returns: (loss, sample size, logging outputs), as forward() does."""
        raise NotImplementedError


def stacked(net_input: dict[str, Any], passes: int) -> dict[str, Any]:
    """The inputs of so many passes, one behind the other along the batch: (passes * B, ...).

    All in one forward(), after which workers average gradients.
    """
    return {
        key: torch.cat([value] * passes) if torch.is_tensor(value) else value
        for key, value in net_input.items()
    }
