"""`intra_distillation`: several dropout passes of one model, each close to the mean of them.

Shapes: K passes, N tokens, padding included, V types.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.dataclass import ChoiceEnum
from fairseq.tasks import FairseqTask
from omegaconf import II, DictConfig
from torch import Tensor

from .checks import check_architecture
from .passes import PassesCriterion, stacked

_Schedule: Any = ChoiceEnum(["adaptive", "constant"])


@dataclass
class IntraDistillationConfig(LabelSmoothedCrossEntropyCriterionConfig):
    intra_passes: int = field(
        default=3, metadata={"help": "passes of each batch, with dropout masks of their own"}
    )
    intra_alpha: float = field(
        default=5.0, metadata={"help": "weight of the divergence between the passes"}
    )
    intra_schedule: _Schedule = field(
        default="adaptive",
        metadata={"help": "a weight above 1 rises from 0 at the first update, or is constant"},
    )
    intra_p: float = field(
        default=5.0, metadata={"help": "it is reached after 1/p of --max-update"}
    )
    intra_q: float = field(
        default=10.0, metadata={"help": "the rising weight is 1 after 1/q of --max-update"}
    )
    # Settings of others.
    max_update: int = II("optimization.max_update")
    arch: str = II("model._name")


@register_criterion("intra_distillation", dataclass=IntraDistillationConfig)
class IntraDistillationCriterion(PassesCriterion):
    """(CE(1) + ... + CE(K)) / K + alpha * X(1, ..., K), summed over the tokens: x_divergence().

    An update runs K batches' worth of sentences through the model.

    Source: Xu, Koehn and Murray 2022 ("The Importance of Being Parameters"). X and the adaptive
    weight are defined in the README.md of the authors' github.com/fe1ixxu/Intra-Distillation; the
    defaults are what they train IWSLT14 with, Machine_Translation/scripts/train.sh there.

    Raises: ValueError at start if settings don't fit each other or the model.
    """

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        _check(cfg)
        super().__init__(cfg, task)
        self.cfg = cfg

    def in_training(self, model: Any, sample: dict[str, Any]) -> tuple[Tensor, int, dict[str, Any]]:
        passes = self.cfg.intra_passes
        alpha = self.alpha_at(model.num_updates) if _rises(self.cfg) else self.cfg.intra_alpha
        logits, *_ = model(**stacked(sample["net_input"], passes))
        log_probs, target = self.get_lprobs_and_target(model, (logits,), sample)
        ce, nll = self.cross_entropy(log_probs, target.repeat(passes))
        of_tokens = x_divergence(log_probs.view(passes, -1, log_probs.size(-1)))
        divergence = self.sum_of(of_tokens, target)
        loss = ce / passes + alpha * divergence
        one_pass = logits.chunk(passes)[:1]
        return self.outcome(loss, nll / passes, divergence, sample, model, one_pass)

    def alpha_at(self, update: int) -> float:
        """The adaptive weight: a power of the update, 1 after 1/q and alpha from 1/p of them on."""
        cfg = self.cfg
        exponent = math.log(cfg.intra_alpha) / math.log(cfg.intra_q / cfg.intra_p)
        return cfg.intra_alpha * min(1.0, cfg.intra_p * update / cfg.max_update) ** exponent


def x_divergence(log_probs: Tensor) -> Tensor:
    """The mean over the passes of KL(pass || mean) + KL(mean || pass), the mean of probabilities.

    Args:
        log_probs: (K, N, V)

    Returns: (N,)
    """
    log_mean = torch.logsumexp(log_probs, dim=0) - math.log(len(log_probs))
    both = (log_probs.exp() - log_mean.exp()) * (log_probs - log_mean)
    return both.sum(dim=-1).mean(dim=0)


def _rises(cfg):
    """The paper's adaptive weight is for an alpha above 1: others are constant."""
    return cfg.intra_schedule == "adaptive" and cfg.intra_alpha > 1


def _check(cfg):
    if cfg.intra_passes < 2:
        raise ValueError(f"--intra-passes {cfg.intra_passes}: must be 2 or more")
    if cfg.intra_alpha < 0:
        raise ValueError(f"--intra-alpha {cfg.intra_alpha}: must not be negative")
    if not _rises(cfg):
        return
    check_architecture(cfg.arch, "keeps no update number: --intra-schedule adaptive")
    if not 1 <= cfg.intra_p < cfg.intra_q:
        raise ValueError(
            f"--intra-p {cfg.intra_p} --intra-q {cfg.intra_q}: p must be 1 or more, and q above it"
        )
    if cfg.max_update < 1:
        raise ValueError(
            "--intra-schedule adaptive needs --max-update, of which its weight rises through a "
            "part: say that, or --intra-schedule constant"
        )
