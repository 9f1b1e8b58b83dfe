"""`sentence_prediction_distillation`: a classifier learns from labels and from another's logits."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig
from torch import Tensor

from .criterion import ClassesConfig, ClassesCriterion
from .teacher import ClassTeacher


@dataclass
class SentencePredictionDistillationConfig(ClassesConfig):
    pass


@register_criterion(
    "sentence_prediction_distillation", dataclass=SentencePredictionDistillationConfig
)
class SentencePredictionDistillationCriterion(ClassesCriterion):
    """(1 - w) * CE(student) + w * T^2 * KL(teacher || student), summed over the sentences.

    The model in training is the student: any RoBERTa, of fairseq's own or of this package.

    Source: Hinton et al. 2015, section 2.

    Raises: ValueError at start if a setting, or the teacher, does not fit.
    """

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        if cfg.teacher is None:
            raise ValueError(f"--criterion {cfg._name} needs --teacher, a checkpoint")
        super().__init__(cfg, task)
        self.teacher = ClassTeacher(cfg, task)

    def forward(
        self, model: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Returns: (loss, sample size, logging outputs), the loss summed over the sentences."""
        logits, _ = model(
            **sample["net_input"], features_only=True, classification_head_name=self.head
        )
        targets = self.targets(model, sample, logits)
        taught = self.teacher.logits(model, sample["net_input"])
        loss = self.teacher.loss(logits, targets, taught)
        return self.outcome(loss, sample, {"": logits}, targets, model.training)
