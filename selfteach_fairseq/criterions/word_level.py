"""`word_level_distillation`: a model learns from the text and, word by word, from a teacher.

Shapes: N tokens, padding included, V types.
"""

from dataclasses import dataclass
from typing import Any

import torch
from fairseq.criterions import register_criterion
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig
from torch import Tensor, nn

from ..models.config import of_model
from .divergence import DivergenceCriterion
from .teacher import Teacher, TeacherConfig


@dataclass
class WordLevelDistillationConfig(TeacherConfig):
    # A setting of the model, for the check at the start.
    adaptive_softmax_cutoff: Any = of_model("adaptive_softmax_cutoff")


@register_criterion("word_level_distillation", dataclass=WordLevelDistillationConfig)
class WordLevelDistillationCriterion(DivergenceCriterion):
    """(1 - w) * CE(student) + w * T^2 * KL(teacher || student), summed over the tokens.

    The model in training is the student: any of fairseq's Transformers. The teacher is frozen, and
    neither saved with the student nor shared out between workers.

    Source: Kim and Rush 2016, section 3.1; the temperature is that of Hinton et al. 2015.

    Raises: ValueError at start if a setting, or the teacher, does not fit.
    """

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        _check(cfg)
        super().__init__(cfg, task)
        self.teacher = Teacher(cfg, task)

    def forward(
        self, model: nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Raises: NotImplementedError without `reduce`, as the loss of tokens is not kept."""
        if not reduce:
            raise NotImplementedError("word_level_distillation only gives the summed loss")
        net_output = model(**sample["net_input"])
        log_q, target = self.get_lprobs_and_target(model, net_output, sample)
        ce, nll = self.cross_entropy(log_q, target)
        temperature, weight = self.teacher.temperature, self.teacher.weight
        with torch.no_grad():
            teacher = self.teacher.beside(model)
            log_p = self._cooled(teacher, teacher(**sample["net_input"]), sample)
            p = log_p.exp()
        if temperature != 1:
            log_q = self._cooled(model, net_output, sample)
        kl = self.sum_of((p * (log_p - log_q)).sum(dim=1), target) * temperature**2
        loss = (1 - weight) * ce + weight * kl
        return self.outcome(loss, nll, kl, sample, model, net_output)

    def _cooled(self, model, net_output, sample):
        """Log-probabilities (N, V) of logits that the temperature divides."""
        cooled = (net_output[0] / self.teacher.temperature, *net_output[1:])
        return self.get_lprobs_and_target(model, cooled, sample)[0]


def _check(cfg):
    if cfg.teacher is None:
        raise ValueError("--criterion word_level_distillation needs --teacher, a checkpoint")
    if cfg.adaptive_softmax_cutoff is not None:
        raise ValueError(
            f"--adaptive-softmax-cutoff {cfg.adaptive_softmax_cutoff} gives no logits that can be "
            "compared with the teacher's: leave it out"
        )
