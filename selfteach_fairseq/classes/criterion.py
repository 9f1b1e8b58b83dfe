"""What the criteria of classifiers share: their options, checks, terms and logs.

Shapes: B sentences, K classes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.criterions import FairseqCriterion
from fairseq.criterions.sentence_prediction import SentencePredictionConfig
from fairseq.data import Dictionary
from fairseq.distributed.utils import get_data_parallel_world_size
from fairseq.logging import metrics
from fairseq.logging.meters import safe_round
from fairseq.tasks import FairseqTask
from omegaconf import II, DictConfig
from torch import Tensor
from torch.nn import functional as F

from ..criterions.teacher import TeacherOptions
from ..criterions.terms import Objective
from ..models import heads
from ..models.config import of_model
from .confusion import confusion, places, scores


@dataclass
class ClassesConfig(TeacherOptions):
    classification_head_name: str = field(
        default=SentencePredictionConfig.classification_head_name,
        metadata={"help": "name of the classification head"},
    )
    regression_target: bool = False  # which fairseq's task asks every criterion for
    # Settings of others, for the checks at the start.
    num_classes: int = II("task.num_classes")
    mha_reg_scale_factor: Any = of_model("mha_reg_scale_factor")
    ffn_reg_scale_factor: Any = of_model("ffn_reg_scale_factor")
    ddp_backend: str = II("distributed_training.ddp_backend")
    find_unused_parameters: bool = II("distributed_training.find_unused_parameters")


class ClassesCriterion(FairseqCriterion):
    """Cross-entropy of classes, as fairseq's `sentence_prediction` has it, and more logs of it.

    Accuracy, F1 (see confusion.scores()) and Matthews' correlation are of all sentences of all
    workers, of labels that may be words.

    Raises: ValueError at start if settings don't fit each other or the labels.
    """

    def __init__(self, cfg: DictConfig, task: FairseqTask) -> None:
        _check(cfg, task)
        super().__init__(task)
        self.cfg = cfg
        self.head = cfg.classification_head_name
        self.places = places(labels_of(task.label_dictionary))

    def targets(self, model: Any, sample: dict[str, Any], logits: Tensor) -> Tensor:
        """The classes (B,) by number. Raises: ValueError for a label that training has not."""
        targets = model.get_targets(sample, [logits]).view(-1)
        if targets.numel() and not 0 <= targets.min() <= targets.max() < len(self.places):
            raise ValueError(
                "a sentence has a label that the training text has not: leave it out, or make the "
                "labels' dictionary of all splits"
            )
        return targets

    def outcome(
        self,
        loss: Tensor,
        sample: dict[str, Any],
        outputs: Mapping[str, Tensor],
        targets: Tensor,
        in_training: bool,
        **divergences: Tensor,
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Returns: (loss, sample size, logging outputs), as fairseq's criteria do.

        Args:
            outputs: logits (B, K) of each model, by how the names of its figures begin
            targets: (B,)
        """
        sentences = targets.numel()
        logs: dict[str, Any] = {
            "loss": loss.detach(),
            "ntokens": sample["ntokens"],
            "nsentences": sentences,
            "sample_size": sentences,
            **{name: value.detach() for name, value in divergences.items()},
        }
        for name, logits in outputs.items():
            said = logits[:, : len(self.places)].argmax(dim=1)  # the head may have more
            logs[f"{name}nll_loss"] = cross_entropy(logits.detach(), targets)
            logs[f"{name}ncorrect"] = said.eq(targets).sum()
            if not in_training:
                place = self.places.to(targets.device)
                logs[f"{name}confusion"] = confusion(place[targets], place[said], len(place))
        return loss, sentences, logs

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        """Logs losses and divergences in bits a sentence, and in percent what scores() has."""
        sentences = sum(log["nsentences"] for log in logging_outputs)
        for key in logging_outputs[0]:
            if key in ("ntokens", "nsentences", "sample_size"):
                continue
            total = sum(log[key] for log in logging_outputs)
            if key.endswith("confusion"):
                metrics.log_concat_tensor(f"_{key}", total[None], dim=0)
                for name in ("f1", "mcc"):
                    metrics.log_derived(key.replace("confusion", name), _score(f"_{key}", name))
            elif key.endswith("ncorrect"):
                share = 100 * total / sentences
                metrics.log_scalar(key.replace("ncorrect", "accuracy"), share, sentences, round=2)
            else:
                bits = total / sentences / math.log(2)
                metrics.log_scalar(key, bits, sentences, round=3)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum over the sentences, as fairseq computes it."""
    return F.nll_loss(F.log_softmax(logits, dim=-1, dtype=torch.float32), targets, reduction="sum")


def kl(taught: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(taught || model), where T divides the logits (B, K), summed over the sentences."""
    p, q = (
        F.log_softmax(each / temperature, dim=-1, dtype=torch.float32) for each in (taught, logits)
    )
    return F.kl_div(q, p, reduction="sum", log_target=True) * temperature**2


def divergence(full: Tensor, student: Tensor, objective: Objective) -> Tensor:
    """D of an Objective, of logits (B, K), summed over the sentences."""
    if objective.kl_gradient == "student":
        full = full.detach()
    forward = kl(full, student, objective.kl_temperature)
    if objective.divergence == "kl":
        return forward
    return forward + kl(student, full, objective.kl_temperature)


def labels_of(dictionary: Dictionary) -> list[str]:
    """The labels in a dictionary, by class number: not what fairseq-preprocess fills it up with."""
    symbols = dictionary.symbols[dictionary.nspecial :]
    return [name for name in symbols if not name.startswith("madeupword") and name != "<mask>"]


def _score(key, name):
    return lambda meters: safe_round(scores(meters[key].tensor.sum(dim=0))[name], 2)


def _check(cfg, task):
    name = cfg._name
    if (
        cfg.ddp_backend in ("pytorch_ddp", "c10d")
        and not cfg.find_unused_parameters
        and get_data_parallel_world_size() > 1
    ):
        raise ValueError(
            f"--ddp-backend {cfg.ddp_backend} fails on what no update uses, such as the head for "
            "masked words: add --find-unused-parameters, or use legacy_ddp"
        )
    if heads.is_own(cfg.classification_head_name):
        raise ValueError(
            f"--classification-head-name {cfg.classification_head_name}: students' own heads are "
            "named so: choose another"
        )
    if cfg.regression_target:
        raise ValueError(
            f"--regression-target: --criterion {name} learns classes: leave it out, or use "
            "--criterion sentence_prediction"
        )
    labels = labels_of(task.label_dictionary)
    if len(labels) < 2:
        raise ValueError(
            f"the training text has {len(labels)} label, {', '.join(labels)}: there is nothing to "
            "tell apart"
        )
    if cfg.num_classes < len(labels):
        raise ValueError(f"--num-classes {cfg.num_classes}: the text has {len(labels)} labels")
    for option in ("mha_reg_scale_factor", "ffn_reg_scale_factor"):
        value = getattr(cfg, option)
        if value:
            flag = f"--{option.replace('_', '-')}"
            raise ValueError(f"{flag} {value}: --criterion {name} has no such term: leave it out")
