"""What criteria with students share: their options, and who learns in which update."""

import random
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import II, DictConfig

from ..layers import Layers
from ..models.config import of_model
from .terms import Objective

_Divergence: Any = ChoiceEnum(["kl", "symmetric"])
_KlGradient: Any = ChoiceEnum(["student", "both"])


@dataclass
class TeachingConfig(FairseqDataclass):
    student_layers: Optional[str] = field(
        default=None,
        metadata={
            "help": "layers of the student: 3, or 6x3 for encoder x decoder; last3x3 for the last "
            "ones of the encoder; 0+2+4x0+2 for these, from 0; or several such separated by commas "
            "(default: half of the model's)"
        },
    )
    student_sampling: Optional[int] = field(
        default=None,
        metadata={
            "help": "train so many of the students in each update, drawn anew (default: all)"
        },
    )
    alpha: float = field(
        default=1.0, metadata={"help": "weight of the divergence between full model and student"}
    )
    alpha_start_update: int = field(default=0, metadata={"help": "alpha is 0 before this update"})
    alpha_warmup_updates: int = field(
        default=0, metadata={"help": "from its start alpha rises linearly over so many updates"}
    )
    student_ce: float = field(
        default=1.0,
        metadata={"help": "weight of the student's own label-smoothed cross-entropy"},
    )
    divergence: _Divergence = field(
        default="kl",
        metadata={"help": "KL(full || student), or that plus KL(student || full)"},
    )
    kl_gradient: _KlGradient = field(
        default="both",
        metadata={"help": "who learns from the divergence: the student alone, or both"},
    )
    kl_temperature: float = field(
        default=1.0,
        metadata={
            "help": "divides the logits in the divergence, whose value its square multiplies"
        },
    )
    # Settings of the model, for the checks at the start.
    arch: str = II("model._name")
    encoder_layers: Optional[str] = of_model("encoder_layers")  # no number in every architecture
    encoder_layerdrop: Any = of_model("encoder_layerdrop")


class WithTeaching:
    """A criterion of these options, and the students of the model that it trains."""

    cfg: DictConfig  # with the fields of TeachingConfig
    students: tuple[Layers, ...]

    def alpha_at(self, update: int) -> float:
        """alpha in training: 0 before its start, then rising linearly through its warm-up."""
        since_start = update - self.cfg.alpha_start_update
        if since_start < 0:
            return 0.0
        if since_start >= self.cfg.alpha_warmup_updates:
            return self.cfg.alpha
        return self.cfg.alpha * since_start / self.cfg.alpha_warmup_updates

    def students_at(self, update: int) -> tuple[Layers, ...]:
        """The students that learn in this update; drawn ones depend on nothing but its number."""
        if self.alpha_at(update) == 0 and self.cfg.student_ce == 0:
            return ()
        if self.cfg.student_sampling is None:
            return self.students
        drawn = random.Random(update).sample(self.students, self.cfg.student_sampling)
        return tuple(sorted(drawn, key=self.students.index))

    def in_force(self, model: Any) -> tuple[float, tuple[Layers, ...]]:
        """alpha and the students that count now.

        In validation all of it does at any update, so that the best checkpoint is not one from
        before the warm-up; but the whole model, which without dropout is no student.
        """
        if not model.training:
            smaller = (student for student in self.students if not student.are_all(model.depth))
            return self.cfg.alpha, tuple(smaller)
        return self.alpha_at(model.num_updates), self.students_at(model.num_updates)

    def objective(self, alpha: float, label_smoothing: float = 0.0) -> Objective:
        """What the options say, under this alpha."""
        return Objective(
            label_smoothing=label_smoothing,
            alpha=alpha,
            student_ce=self.cfg.student_ce,
            divergence=self.cfg.divergence,
            kl_gradient=self.cfg.kl_gradient,
            kl_temperature=self.cfg.kl_temperature,
        )
