"""`label_smoothed_ce_selfteach`: label-smoothed cross-entropy, and some of the layers taught by it.

Shapes: B batch, T target length, N target tokens without padding, C features.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq import utils
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
from fairseq.dataclass import ChoiceEnum
from fairseq.logging import metrics
from fairseq.tasks import FairseqTask
from omegaconf import II, DictConfig
from torch import Tensor

from ..layers import layers_of_metric
from ..models.config import of_model
from ..models.family import Taught
from .checks import check, check_bleu, students_of
from .losses import Teaching, self_teaching_loss
from .teacher import Teacher, TeacherConfig
from .teaching import TeachingConfig, WithTeaching

_StudentDropout: Any = ChoiceEnum(["own", "shared"])


@dataclass
class SelfteachCriterionConfig(TeachingConfig, TeacherConfig):
    student_dropout: _StudentDropout = field(
        default="own",
        metadata={
            "help": "students drop what the full model does not, by passes of their own; or share "
            "its passes for as long as their layers are the same, which takes less time"
        },
    )
    loss_chunk_tokens: Optional[int] = field(
        default=None,
        metadata={
            "help": "tokens whose logits are held at a time: fewer take less memory "
            "(default: by the size of the vocabulary)"
        },
    )
    # Settings of others, for the checks at the start.
    decoder_layers: Optional[str] = of_model("decoder_layers")
    decoder_layerdrop: Any = of_model("decoder_layerdrop")
    adaptive_softmax_cutoff: Any = of_model("adaptive_softmax_cutoff")
    quant_noise_scalar: Any = of_model("quant_noise_scalar")
    stock_update: Any = of_model("stock_update")
    dropout: Any = of_model("dropout")
    attention_dropout: Any = of_model("attention_dropout")
    activation_dropout: Any = of_model("activation_dropout")
    relu_dropout: Any = of_model("relu_dropout")
    checkpoint_activations: Any = of_model("checkpoint_activations")
    offload_activations: Any = of_model("offload_activations")
    ddp_backend: str = II("distributed_training.ddp_backend")
    find_unused_parameters: bool = II("distributed_training.find_unused_parameters")
    best_checkpoint_metric: str = II("checkpoint.best_checkpoint_metric")


@register_criterion("label_smoothed_ce_selfteach", dataclass=SelfteachCriterionConfig)
class SelfteachCriterion(WithTeaching, LabelSmoothedCrossEntropyCriterion):
    """CE(full) + alpha * D(full, student) + student_ce * CE(student), see terms.Objective.

    With a teacher, every CE is in part a divergence from it, see losses.Teaching.

    Source: Li and Odoom 2023, section 3.1. Validation uses the full alpha at any update, so that
    the best checkpoint is not one from before the warm-up.

    Raises: ValueError at start if settings don't fit each other, the model or the teacher.
    """

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        check(cfg)
        check_bleu(cfg, getattr(task.cfg, "eval_bleu_student", None))
        super().__init__(
            task,
            cfg.sentence_avg,
            cfg.label_smoothing,
            cfg.ignore_prefix_size,
            cfg.report_accuracy,
        )
        self.cfg = cfg
        self.students = students_of(cfg)
        self.teacher = None if cfg.teacher is None else Teacher(cfg, task)

    def forward(
        self, model: Taught, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Returns: (loss, sample size, logging outputs), the loss summed over the tokens.

        Raises: NotImplementedError without `reduce`: the loss of single tokens is never kept.
        """
        if not reduce:
            raise NotImplementedError("label_smoothed_ce_selfteach only gives the summed loss")
        alpha, students = self.in_force(model)
        features, extra = model(
            **sample["net_input"],
            features_only=True,
            students=students,
            own_dropout=self.cfg.student_dropout == "own",
        )
        target = model.get_targets(sample, features)[:, self.ignore_prefix_size :]
        rows = target.flatten().ne(self.padding_idx).nonzero().squeeze(1)  # (N,)
        losses = self_teaching_loss(
            self._at(rows, features),
            [self._at(rows, output) for output in extra["students"].values()],
            extra["projection"],
            target.flatten()[rows],
            self.objective(alpha, self.eps),
            self.cfg.loss_chunk_tokens,
            self._teaching(rows, sample, model),
            self.report_accuracy,
            stock=bool(self.cfg.stock_update),
        )
        sample_size = target.size(0) if self.sentence_avg else sample["ntokens"]
        logging_output = {
            "loss": losses.loss.detach(),
            "nll_loss": losses.nll,
            "ntokens": sample["ntokens"],
            "nsentences": target.size(0),
            "sample_size": sample_size,
        }
        if self.teacher is not None:
            logging_output["teacher_kl"] = losses.teacher_kl
        if students:
            logging_output["kl"] = losses.kl.mean()
        for student, nll in zip(students, losses.student_nll, strict=True):
            logging_output[student.metric] = nll
        if self.report_accuracy:
            logging_output["n_correct"] = losses.correct
            logging_output["total"] = rows.numel()
        return losses.loss, sample_size, logging_output

    def _at(self, rows, output):
        """The features (N, C) of these tokens out of (B, T, C)."""
        return output[:, self.ignore_prefix_size :].flatten(0, 1).index_select(0, rows)

    def _teaching(self, rows, sample, model):
        if self.teacher is None:
            return None
        features, projection = self.teacher.features(model, sample["net_input"])
        return Teaching(
            self._at(rows, features), projection, self.teacher.weight, self.teacher.temperature
        )

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        """Logs what fairseq's criterion logs, and what ours adds, in bits per token."""
        super().reduce_metrics(logging_outputs)
        tokens = sum(log["ntokens"] for log in logging_outputs)
        for key in logging_outputs[0]:
            of_student = layers_of_metric(key)
            if key not in ("kl", "teacher_kl") and not of_student:
                continue
            nats = sum(log[key] for log in logging_outputs)
            metrics.log_scalar(key, nats / tokens / math.log(2), tokens, round=3)
            if of_student:
                metrics.log_derived(key.replace("nll_loss", "ppl"), _perplexity(key))


def _perplexity(nll_key):
    def of(meters):
        nll = meters[nll_key].avg  # None for a student that has not been drawn of late
        return None if nll is None else utils.get_perplexity(nll)

    return of
