"""`word_level_distillation`: a model learns from the text and, word by word, from a teacher.

Shapes: N tokens, padding included, V types.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import torch
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig
from torch import Tensor, nn

from ..checkpoints.checkpoint import Checkpoint
from ..errors import CheckpointError
from ..models.config import of_model
from .divergence import DivergenceCriterion


@dataclass
class WordLevelDistillationConfig(LabelSmoothedCrossEntropyCriterionConfig):
    teacher: Optional[str] = field(
        default=None,
        metadata={"help": "checkpoint of any fairseq Transformer of the same dictionaries"},
    )
    teacher_weight: float = field(
        default=0.5,
        metadata={"help": "weight of the teacher; the text has what it leaves of 1"},
    )
    teacher_temperature: float = field(
        default=1.0,
        metadata={"help": "divides both models' logits in the KL, which its square multiplies"},
    )
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
        self.weight, self.temperature = cfg.teacher_weight, cfg.teacher_temperature
        self._held = [load_teacher(cfg.teacher, task)]  # in a list: no module of this module

    def forward(
        self, model: nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Raises: NotImplementedError without `reduce`, as the loss of tokens is not kept."""
        if not reduce:
            raise NotImplementedError("word_level_distillation only gives the summed loss")
        net_output = model(**sample["net_input"])
        log_q, target = self.get_lprobs_and_target(model, net_output, sample)
        ce, nll = self.cross_entropy(log_q, target)
        with torch.no_grad():
            teacher = self.teacher_beside(model)
            log_p = self._cooled(teacher, teacher(**sample["net_input"]), sample)
            p = log_p.exp()
        if self.temperature != 1:
            log_q = self._cooled(model, net_output, sample)
        kl = self.sum_of((p * (log_p - log_q)).sum(dim=1), target) * self.temperature**2
        loss = (1 - self.weight) * ce + self.weight * kl
        return self.outcome(loss, nll, kl, sample, model, net_output)

    def teacher_beside(self, model: nn.Module) -> nn.Module:
        """The teacher, where the model is and in its precision, once it has moved there."""
        (teacher,) = self._held
        wanted, present = next(model.parameters()), next(teacher.parameters())
        if (wanted.device, wanted.dtype) != (present.device, present.dtype):
            teacher.to(wanted.device, wanted.dtype)
        return teacher

    def _cooled(self, model, net_output, sample):
        """Log-probabilities (N, V) of logits that the temperature divides."""
        cooled = (net_output[0] / self.temperature, *net_output[1:])
        return self.get_lprobs_and_target(model, cooled, sample)[0]


def _check(cfg):
    if cfg.teacher is None:
        raise ValueError("--criterion word_level_distillation needs --teacher, a checkpoint")
    if not 0 <= cfg.teacher_weight <= 1:
        raise ValueError(f"--teacher-weight {cfg.teacher_weight}: choose 0 to 1")
    if cfg.teacher_temperature <= 0:
        raise ValueError(f"--teacher-temperature {cfg.teacher_temperature}: must be above 0")
    if cfg.adaptive_softmax_cutoff is not None:
        raise ValueError(
            f"--adaptive-softmax-cutoff {cfg.adaptive_softmax_cutoff} gives no logits that can be "
            "compared with the teacher's: leave it out"
        )


def load_teacher(path: Path | str, task: FairseqTask) -> nn.Module:
    """The model of a checkpoint, in eval mode and without gradients.

    Raises: ValueError if it is no Transformer's, or of dictionaries of other sizes than the task's.
    """
    try:
        checkpoint = Checkpoint.read(path).stock()
    except CheckpointError as error:
        raise ValueError(f"--teacher {error}") from None
    settings = checkpoint.settings
    if settings.get("adaptive_softmax_cutoff") is not None:
        raise ValueError(f"--teacher {path}: has an adaptive softmax: choose one without")
    for side, dictionary in (
        ("encoder", task.source_dictionary),
        ("decoder", task.target_dictionary),
    ):
        rows = checkpoint.types(side)
        if rows != len(dictionary):
            merged = settings.get("merge_src_tgt_embed") and rows == _merged(task)
            raise ValueError(
                f"--teacher {path}: its {side} has {rows} types and the data's dictionary "
                f"{len(dictionary)}: "
                + (
                    "it was trained with --merge-src-tgt-embed: add that to this training, too"
                    if merged
                    else "name one that was trained on this data folder, and with "
                    "--merge-src-tgt-embed only if this training is"
                )
            )
    # Not by the task, whose build_model() would also take it for the one to validate with BLEU.
    return checkpoint.build(task).eval().requires_grad_(False)


def _merged(task):
    """How many types there are once fairseq has merged the dictionaries of both languages."""
    return len({*task.source_dictionary.symbols, *task.target_dictionary.symbols})
