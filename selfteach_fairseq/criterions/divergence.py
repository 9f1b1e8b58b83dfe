"""What the baselines' criteria share: fairseq's cross-entropy with a divergence beside it.

Shapes: N tokens, padding included, as fairseq's criterion has them; V types.
"""

import math
from typing import Any

from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    label_smoothed_nll_loss,
)
from fairseq.logging import metrics
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig
from torch import Tensor, nn


class DivergenceCriterion(LabelSmoothedCrossEntropyCriterion):
    """fairseq's criterion, and what a subclass needs for `a * CE + b * divergence`."""

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        super().__init__(
            task,
            cfg.sentence_avg,
            cfg.label_smoothing,
            cfg.ignore_prefix_size,
            cfg.report_accuracy,
        )

    def cross_entropy(self, log_probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The sums of label-smoothed CE and of NLL of log-probabilities (N, V)."""
        return label_smoothed_nll_loss(log_probs, target, self.eps, self.padding_idx)

    def sum_of(self, divergences: Tensor, target: Tensor) -> Tensor:
        """The sum of the tokens' divergences (N,), padding left out."""
        return divergences.masked_fill(target.eq(self.padding_idx), 0).sum()

    def outcome(
        self,
        loss: Tensor,
        nll: Tensor,
        kl: Tensor,
        sample: dict[str, Any],
        model: nn.Module,
        net_output: tuple,
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Returns: (loss, sample size, logging outputs), as fairseq's criteria do."""
        sentences = sample["target"].size(0)
        sample_size = sentences if self.sentence_avg else sample["ntokens"]
        logging_output = {
            "loss": loss.detach(),
            "nll_loss": nll.detach(),
            "kl": kl.detach(),
            "ntokens": sample["ntokens"],
            "nsentences": sentences,
            "sample_size": sample_size,
        }
        if self.report_accuracy:
            correct, total = self.compute_accuracy(model, net_output, sample)
            logging_output |= {"n_correct": correct.item(), "total": total.item()}
        return loss, sample_size, logging_output

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        """Logs what fairseq's criterion logs, and the divergence, in bits per token."""
        super().reduce_metrics(logging_outputs)
        if "kl" in logging_outputs[0]:
            tokens = sum(log["ntokens"] for log in logging_outputs)
            nats = sum(log["kl"] for log in logging_outputs)
            metrics.log_scalar("kl", nats / tokens / math.log(2), tokens, round=3)


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) + KL(q || p) of each token (N,), of log-probabilities (N, V)."""
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1)
