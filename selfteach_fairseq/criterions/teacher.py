"""`Teacher`: a frozen model from which the one in training learns, and the options that say so.

Shapes: B batch, T target length, C' the teacher's features, V types.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import torch
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig
from torch import Tensor, nn

from ..checkpoints.checkpoint import Checkpoint
from ..errors import CheckpointError
from ..layers import SIDES


@dataclass
class TeacherOptions(FairseqDataclass):
    teacher: Optional[str] = field(
        default=None,
        metadata={"help": "checkpoint of any such model of fairseq's with the same dictionaries"},
    )
    teacher_weight: Optional[float] = field(
        default=None,
        metadata={"help": "weight of the teacher; the text has what it leaves of 1 (default: 0.5)"},
    )
    teacher_temperature: Optional[float] = field(
        default=None,
        metadata={
            "help": "divides the teacher's and the learner's logits in the KL, which its square "
            "multiplies (default: 1)"
        },
    )


@dataclass
class TeacherConfig(TeacherOptions, LabelSmoothedCrossEntropyCriterionConfig):
    pass


class Teacher:
    """A model that stays as it is, and its part in a loss.

    It is no nn.Module, hence in no checkpoint, in no optimizer, never in training mode, and not
    shared out between workers.

    Raises: ValueError if an option is out of range, or if the checkpoint is no Transformer's that
        gives logits of the task's types.
    """

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        self.weight = 0.5 if cfg.teacher_weight is None else cfg.teacher_weight
        self.temperature = 1.0 if cfg.teacher_temperature is None else cfg.teacher_temperature
        if not 0 <= self.weight <= 1:
            raise ValueError(f"--teacher-weight {self.weight}: choose 0 to 1")
        if self.temperature <= 0:
            raise ValueError(f"--teacher-temperature {self.temperature}: must be above 0")
        self.model = self._load(cfg.teacher, task)

    def beside(self, model: nn.Module) -> nn.Module:
        """The teacher, where the model is and in its precision, once it has moved there."""
        wanted, present = next(model.parameters()), next(self.model.parameters())
        if (wanted.device, wanted.dtype) != (present.device, present.dtype):
            self.model.to(wanted.device, wanted.dtype)
        return self.model

    @torch.no_grad()
    def features(self, model: nn.Module, net_input: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Its features (B, T, C') of a batch, and the weights (V, C') that make logits of them."""
        teacher: Any = self.beside(model)
        features, _ = teacher(**net_input, features_only=True)
        return features, teacher.decoder.output_projection.weight

    def _load(self, path, task):
        """The model of a checkpoint, in eval mode and without gradients."""
        try:
            checkpoint = Checkpoint.read(path).stock()
        except CheckpointError as error:
            raise ValueError(f"--teacher {error}") from None
        self.check(checkpoint, path, task)
        # Not by the task, whose build_model() would also take it for the one to validate with BLEU.
        return checkpoint.build(task).eval().requires_grad_(False)

    def check(self, checkpoint: Checkpoint, path: Path | str, task: FairseqTask) -> None:
        """Raises: ValueError if the model of a checkpoint can't teach this task."""
        if checkpoint.is_encoder:
            raise ValueError(f"--teacher {path}: has no decoder: name a model that translates")
        settings = checkpoint.settings
        _check_positions(path, settings, task)
        if settings.get("adaptive_softmax_cutoff"):
            raise ValueError(
                f"--teacher {path}: was trained with --adaptive-softmax-cutoff, and has no logits "
                "to learn from: choose one without"
            )
        if settings.get("quant_noise_scalar"):
            raise ValueError(
                f"--teacher {path}: was trained with --quant-noise-scalar, and computes with "
                "quantised weights: choose one without"
            )
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


def _check_positions(path, settings, task):
    """Learned positions end, and a longer sentence would end the training in its midst."""
    limits = zip(SIDES, ("source", "target"), task.max_positions(), strict=True)
    for side, text, limit in limits:
        learned = settings.get(f"max_{text}_positions") or limit
        if settings.get(f"{side}_learned_pos") and learned < limit:
            raise ValueError(
                f"--teacher {path}: has learned {learned} {text} positions, and this training "
                f"reads up to {limit}: add --max-{text}-positions {learned}"
            )


def _merged(task):
    """How many types there are once fairseq has merged the dictionaries of both languages."""
    return len({*task.source_dictionary.symbols, *task.target_dictionary.symbols})
