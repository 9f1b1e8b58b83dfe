"""What is compared: fairseq's criterion, ours, and what one would do without ours."""

import tempfile
from pathlib import Path

import torch.nn.functional as F
from fairseq import utils
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
    label_smoothed_nll_loss,
)
from omegaconf import OmegaConf
from shapes import LAYERS, settings

import selfteach_fairseq  # noqa: F401  registers architectures and criteria
from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.layers import Layers

HALF = LAYERS // 2
# fairseq's own rate, 0.25, saturates a model within an update; its gradients become denormal then,
# with which some CPUs compute many times as slowly. This one is reached while time is taken.
TRAINING = (
    *("--label-smoothing", "0.1", "--optimizer", "adam", "--clip-norm", "1"),
    *("--lr", "5e-4", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "10"),
)


def ours(*flags):
    return ("--criterion", "label_smoothed_ce_selfteach", *flags)


def students(count):
    """Of the depths just below the full model's: 5, then 5 and 4, ..."""
    return ",".join(str(LAYERS - 1 - i) for i in range(count))


FLAGS = {
    "plain": ("--criterion", "label_smoothed_cross_entropy"),
    "alpha 0": ours("--alpha", 0, "--student-ce", 0),
    "student 3x3": ours("--student-layers", "3x3"),
    "student last3x3": ours("--student-layers", "last3x3"),
    "student 0+2+4x0+2+4": ours("--student-layers", "0+2+4x0+2+4"),
    "student 6x3": ours("--student-layers", "6x3"),
    "student 6x2": ours("--student-layers", "6x2"),
    "student 6x1": ours("--student-layers", "6x1"),
    "4 students": ours("--student-layers", students(4)),
    "4 students, 1 drawn": ours("--student-layers", students(4), "--student-sampling", 1),
    "student 3x3, un-fused": ("--criterion", "unfused_selfteach"),
    "word-level distillation": ("--criterion", "word_level_distillation"),
    **{
        f"{n} students of depth 5 and less": ours("--student-layers", students(n))
        for n in range(1, 6)
    },
}


def build(variant, shape, task, *flags):
    """(configuration, model, criterion) of one variant."""
    distils = variant == "word-level distillation"
    flags = (*shape.flags(HALF if distils else LAYERS), *FLAGS[variant], *TRAINING, *flags)
    with tempfile.TemporaryDirectory() as folder:
        if distils:
            teacher = Path(folder, "teacher.pt")
            untrained(shape, task).write(teacher)
            flags = (*flags, "--teacher", teacher)
        cfg = settings(*flags)
        return cfg, task.build_model(cfg.model), task.build_criterion(cfg.criterion)


def untrained(shape, task):
    """A checkpoint of the full model."""
    cfg = settings(*shape.flags(), *FLAGS["plain"])
    state = {
        "cfg": OmegaConf.to_container(cfg, resolve=True, enum_to_str=True),
        "model": task.build_model(cfg.model).state_dict(),
        "optimizer_history": [{"num_updates": 0}],
    }
    return Checkpoint.of(state)


def log_probabilities(logits):
    """As fairseq computes them, in fp32: (B, T, V) to (N, V)."""
    return utils.log_softmax(logits, dim=-1).flatten(0, 1)


@register_criterion("unfused_selfteach", dataclass=LabelSmoothedCrossEntropyCriterionConfig)
class UnfusedSelfteachCriterion(LabelSmoothedCrossEntropyCriterion):
    """The loss of the student 3x3 written plainly, on all logits at once."""

    def forward(self, model, sample, reduce=True):
        half = Layers.first(HALF, HALF)
        logits, extra = model(**sample["net_input"], students=(half,))
        full, student = map(log_probabilities, (logits, extra["students"][half]))
        target = sample["target"].flatten().unsqueeze(1)
        ce, nll = label_smoothed_nll_loss(full, target, self.eps, self.padding_idx)
        student_ce, _ = label_smoothed_nll_loss(student, target, self.eps, self.padding_idx)
        kl = F.kl_div(student, full, reduction="none", log_target=True).sum(1, keepdim=True)
        kl = kl.masked_fill(target.eq(self.padding_idx), 0).sum()
        return logged(ce + kl + student_ce, nll, sample)


def logged(loss, nll, sample):
    figures = {"loss": loss.detach(), "nll_loss": nll.detach(), "ntokens": sample["ntokens"]}
    figures |= {"nsentences": sample["nsentences"], "sample_size": sample["ntokens"]}
    return loss, sample["ntokens"], figures
