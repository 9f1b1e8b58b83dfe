"""`r_drop`: two passes of one model with other dropout masks, which learn from each other."""

from dataclasses import dataclass, field
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig
from torch import Tensor

from .divergence import symmetric_kl
from .passes import PassesCriterion, stacked


@dataclass
class RDropConfig(LabelSmoothedCrossEntropyCriterionConfig):
    r_drop_alpha: float = field(
        default=5.0,
        metadata={"help": "weight of the divergence between the two passes"},
    )


@register_criterion("r_drop", dataclass=RDropConfig)
class RDropCriterion(PassesCriterion):
    """(CE(1) + CE(2)) / 2 + alpha / 2 * (KL(1 || 2) + KL(2 || 1)) / 2, summed over the tokens.

    That is half of what the paper minimises, so that the loss, its clipping and the logs are one
    model's; alpha is the paper's, and so is its default. An update runs two batches' worth of
    sentences through the model. Validation runs one pass, and is fairseq's criterion.

    Source: Liang et al. 2021, equations 1 to 3.

    Raises: ValueError at start if alpha is negative.
    """

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        if cfg.r_drop_alpha < 0:
            raise ValueError(f"--r-drop-alpha {cfg.r_drop_alpha}: must not be negative")
        super().__init__(cfg, task)
        self.alpha = cfg.r_drop_alpha

    def in_training(self, model: Any, sample: dict[str, Any]) -> tuple[Tensor, int, dict[str, Any]]:
        logits, *_ = model(**stacked(sample["net_input"], 2))
        log_probs, target = self.get_lprobs_and_target(model, (logits,), sample)
        ce, nll = self.cross_entropy(log_probs, target.repeat(2))
        kl = self.sum_of(symmetric_kl(*log_probs.chunk(2)), target) / 2
        loss = ce / 2 + self.alpha / 2 * kl
        return self.outcome(loss, nll / 2, kl, sample, model, logits.chunk(2)[:1])
