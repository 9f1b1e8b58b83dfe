"""`sentence_prediction_selfteach`: a classifier, and some of its layers taught by it.

Shapes: B sentences, K classes.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.criterions import register_criterion
from fairseq.dataclass import ChoiceEnum
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig
from torch import Tensor

from ..criterions.checks import check_layerdrop, check_teacher, check_teaching
from ..criterions.teaching import TeachingConfig, WithTeaching
from ..layers import Layers, students_within
from ..models import heads
from ..models.roberta import ROBERTA, RobertaSelfteachModel
from .criterion import ClassesConfig, ClassesCriterion, cross_entropy, divergence
from .teacher import ClassTeacher

_Head: Any = ChoiceEnum(["shared", "own"])


@dataclass
class SentencePredictionSelfteachConfig(TeachingConfig, ClassesConfig):
    student_head: _Head = field(
        default="shared",
        metadata={
            "help": "what a student classifies by: the full model's head, or one of its own, which "
            "is then cut out with it"
        },
    )


@register_criterion("sentence_prediction_selfteach", dataclass=SentencePredictionSelfteachConfig)
class SentencePredictionSelfteachCriterion(WithTeaching, ClassesCriterion):
    """CE(full) + alpha * D(full, student) + student_ce * CE(student), of the head's logits.

    Several students: the means over them. With a teacher every CE is in part a divergence from it.

    Source: Li and Odoom 2023, section 3.1; heads of students' own: their released code.

    Raises: ValueError at start if settings don't fit each other, the model or the labels.
    """

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        architecture = ARCH_MODEL_REGISTRY.get(cfg.arch)
        if architecture is None or not issubclass(architecture, RobertaSelfteachModel):
            raise ValueError(
                f"--arch {cfg.arch} has no students: --criterion {cfg._name} needs --arch "
                "roberta_selfteach, or another that begins so"
            )
        check_layerdrop(cfg, ("encoder",))
        super().__init__(cfg, task)
        named = {"_name": cfg.arch, "encoder_layers": cfg.encoder_layers}
        full = Layers.first(int(ROBERTA.complete(named)["encoder_layers"]), None)
        self.students = students_within(cfg.student_layers, full)
        check_teaching(cfg, self.students)
        check_teacher(cfg)
        self.teacher = None if cfg.teacher is None else ClassTeacher(cfg, task)

    def forward(
        self, model: Any, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Returns: (loss, sample size, logging outputs), the loss summed over the sentences."""
        if self.cfg.student_head == "own":
            self._check_heads(model)
        alpha, students = self.in_force(model)
        objective = self.objective(alpha)
        logits, extra = model(
            **sample["net_input"],
            features_only=True,
            classification_head_name=self.head,
            students=students,
        )
        targets = self.targets(model, sample, logits)
        taught = None
        if self.teacher is not None:
            taught = self.teacher.logits(model, sample["net_input"])
        loss = self._own(logits, targets, taught)
        outputs: dict[str, Tensor] = {"": logits}
        divergences = []
        for student in students:
            of_student = extra["students"][student]
            apart = divergence(logits, of_student, objective)
            own = self._own(of_student, targets, taught)
            loss = loss + (alpha * apart + objective.student_ce * own) / len(students)
            outputs[student.metric.removesuffix("nll_loss")] = of_student
            divergences.append(apart)
        more = {"kl": torch.stack(divergences).mean()} if students else {}
        return self.outcome(loss, sample, outputs, targets, model.training, **more)

    def _check_heads(self, model):
        own = {heads.of_student(self.head, student) for student in self.students}
        if not own <= model.classification_heads.keys():
            raise ValueError(
                "--student-head own: the model has no such heads, for hydra does not tell it of "
                "them: use fairseq-train"
            )

    def _own(self, logits, targets, taught):
        """What a model learns by itself: from the text, and from a teacher's logits."""
        if self.teacher is None:
            return cross_entropy(logits, targets)
        return self.teacher.loss(logits, targets, taught)
