"""What is compared: fairseq's criterion, ours, and what one would do without ours."""

import torch
import torch.nn.functional as F
from fairseq import utils
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
    label_smoothed_nll_loss,
)
from shapes import LAYERS, settings

import selfteach_fairseq  # noqa: F401  registers architectures and criterion
from selfteach_fairseq.student import Student

HALF = LAYERS // 2


def ours(*flags):
    return ("--criterion", "label_smoothed_ce_selfteach", *flags)


def students(count):
    """Of the depths just below the full model's: 5, then 5 and 4, ..."""
    return ",".join(str(LAYERS - 1 - i) for i in range(count))


FLAGS = {
    "plain": ("--criterion", "label_smoothed_cross_entropy"),
    "alpha 0": ours("--alpha", 0, "--student-ce", 0),
    "student 3x3": ours("--student-layers", "3x3"),
    "student 6x3": ours("--student-layers", "6x3"),
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
    flags = (*flags, "--label-smoothing", "0.1", "--optimizer", "adam", "--clip-norm", "1")
    cfg = settings(*shape.flags(HALF if distils else LAYERS), *FLAGS[variant], *flags)
    model, criterion = task.build_model(cfg.model), task.build_criterion(cfg.criterion)
    if distils:
        teacher = task.build_model(settings(*shape.flags(), *FLAGS["plain"]).model)
        criterion.hold(teacher.bfloat16().cuda() if cfg.common.bf16 else teacher)
    return cfg, model, criterion


def log_probabilities(logits):
    """As fairseq computes them, in fp32: (B, T, V) to (N, V)."""
    return utils.log_softmax(logits, dim=-1).flatten(0, 1)


@register_criterion("unfused_selfteach", dataclass=LabelSmoothedCrossEntropyCriterionConfig)
class UnfusedSelfteachCriterion(LabelSmoothedCrossEntropyCriterion):
    """The loss of the student 3x3 written plainly, on all logits at once."""

    def forward(self, model, sample, reduce=True):
        half = Student(HALF, HALF)
        logits, extra = model(**sample["net_input"], students=(half,))
        full, student = map(log_probabilities, (logits, extra["students"][half]))
        target = sample["target"].flatten().unsqueeze(1)
        ce, nll = label_smoothed_nll_loss(full, target, self.eps, self.padding_idx)
        student_ce, _ = label_smoothed_nll_loss(student, target, self.eps, self.padding_idx)
        kl = F.kl_div(student, full, reduction="none", log_target=True).sum(1, keepdim=True)
        kl = kl.masked_fill(target.eq(self.padding_idx), 0).sum()
        return logged(ce + kl + student_ce, nll, sample)


@register_criterion("word_level_distillation", dataclass=LabelSmoothedCrossEntropyCriterionConfig)
class WordLevelDistillationCriterion(LabelSmoothedCrossEntropyCriterion):
    """A model learns from the text and, word by word, from a frozen teacher (Kim and Rush 2016)."""

    def hold(self, teacher):
        self.teacher = [teacher.eval()]  # in a list, or it would train and be saved

    def forward(self, model, sample, reduce=True):
        with torch.no_grad():
            teacher = log_probabilities(self.teacher[0](**sample["net_input"])[0])
        student = log_probabilities(model(**sample["net_input"])[0])
        target = sample["target"].flatten().unsqueeze(1)
        ce, nll = label_smoothed_nll_loss(student, target, self.eps, self.padding_idx)
        kl = F.kl_div(student, teacher, reduction="none", log_target=True).sum(1, keepdim=True)
        kl = kl.masked_fill(target.eq(self.padding_idx), 0).sum()
        return logged((ce + kl) / 2, nll, sample)


def logged(loss, nll, sample):
    figures = {"loss": loss.detach(), "nll_loss": nll.detach(), "ntokens": sample["ntokens"]}
    figures |= {"nsentences": sample["nsentences"], "sample_size": sample["ntokens"]}
    return loss, sample["ntokens"], figures
