"""`r3f_translation`: a model says the same of a source and of that source with noise on it.

Shapes: B batch, S source length, C features.
"""

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
from .divergence import symmetric_kl
from .passes import PassesCriterion, stacked

_Noise: Any = ChoiceEnum(["normal", "uniform"])


@dataclass
class R3FConfig(LabelSmoothedCrossEntropyCriterionConfig):
    r3f_lambda: float = field(
        default=1.0,
        metadata={"help": "weight of the divergence between the passes with and without noise"},
    )
    r3f_eps: float = field(
        default=1e-5,
        metadata={"help": "the noise's standard deviation, or the end of its range if uniform"},
    )
    r3f_noise: _Noise = field(default="normal", metadata={"help": "what the noise is drawn from"})
    # Settings of others, for the checks at the start.
    arch: str = II("model._name")
    ddp_backend: str = II("distributed_training.ddp_backend")


@register_criterion("r3f_translation", dataclass=R3FConfig)
class R3FCriterion(PassesCriterion):
    """CE(clean) + lambda * (KL(clean || noisy) + KL(noisy || clean)), summed over the tokens.

    The noise is added to the source's token embeddings as they are looked up: the encoder then
    scales them (by sqrt(C), unless --no-scale-embedding) and adds the positions, as in fairseq's
    own examples/rxf. Each pass has dropout masks of its own, as there. Unlike there, padding does
    not count, and the divergence is of each token: fairseq's is of each sentence, so that its
    lambda of 1 is one of a sentence's mean length here.

    Source: Aghajanyan et al. 2020 ("Better Fine-Tuning by Reducing Representational Collapse").

    Raises: ValueError at start if settings don't fit each other or the model.
    """

    by_dropout = False

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        _check(cfg)
        super().__init__(cfg, task)
        self.weight, self.noise, self.noise_eps = cfg.r3f_lambda, cfg.r3f_noise, cfg.r3f_eps

    def in_training(self, model: Any, sample: dict[str, Any]) -> tuple[Tensor, int, dict[str, Any]]:
        inputs = stacked(sample["net_input"], 2)
        clean = model.source_embeddings(sample["net_input"]["src_tokens"])
        embeddings = torch.cat([clean, clean + self._drawn(clean)])
        logits, *_ = model(**inputs, token_embeddings=embeddings)
        log_probs, target = self.get_lprobs_and_target(model, (logits,), sample)
        clean_log_probs, noisy_log_probs = log_probs.chunk(2)
        ce, nll = self.cross_entropy(clean_log_probs, target)
        kl = self.sum_of(symmetric_kl(clean_log_probs, noisy_log_probs), target)
        loss = ce + self.weight * kl
        return self.outcome(loss, nll, kl, sample, model, logits.chunk(2)[:1])

    def _drawn(self, embeddings):
        """Noise for embeddings (B, S, C)."""
        if self.noise == "normal":
            return self.noise_eps * torch.randn_like(embeddings)
        return self.noise_eps * (2 * torch.rand_like(embeddings) - 1)


def _check(cfg):
    check_architecture(cfg.arch, "takes no embeddings: --criterion r3f_translation")
    if cfg.r3f_lambda < 0:
        raise ValueError(f"--r3f-lambda {cfg.r3f_lambda}: must not be negative")
    if cfg.r3f_eps <= 0:
        raise ValueError(f"--r3f-eps {cfg.r3f_eps}: must be above 0")
    if cfg.ddp_backend == "fully_sharded":
        raise ValueError(
            "--ddp-backend fully_sharded splits the embeddings, which the noise is added to: use "
            "pytorch_ddp or legacy_ddp"
        )
