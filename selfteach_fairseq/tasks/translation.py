"""`translation_selfteach`: fairseq's task, with validation BLEU of a student, and pruning."""

import json
import logging
from argparse import Namespace
from dataclasses import dataclass, field
from functools import partial
from typing import Optional

import sacrebleu
from fairseq.data import Dictionary
from fairseq.logging import metrics
from fairseq.optim import FairseqOptimizer
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import DictConfig
from torch import nn

from ..evaluation import quality
from ..models.students import WithStudents
from .pruning import Schedule, pruning


@dataclass
class SelfteachTranslationConfig(TranslationConfig):
    eval_bleu_student: Optional[str] = field(
        default=None,
        metadata={
            "help": "with --eval-bleu: the student whose translations are scored, such as 3x3 "
            "(default: the full model)"
        },
    )
    pruning_sparsity: float = field(
        default=0, metadata={"help": "share of the layers' weights that training sets to zero"}
    )
    pruning_start_update: int = field(
        default=0, metadata={"help": "number of updates after which that share rises from 0"}
    )
    pruning_end_update: Optional[int] = field(
        default=None, metadata={"help": "number of updates by which it is --pruning-sparsity"}
    )
    pruning_interval: int = field(
        default=100, metadata={"help": "number of updates from one pruning to the next"}
    )


@register_task("translation_selfteach", dataclass=SelfteachTranslationConfig)
class SelfteachTranslationTask(TranslationTask):
    def __init__(self, cfg: DictConfig, *dictionaries: Dictionary) -> None:
        """Raises: ValueError for a schedule of pruning that is none."""
        super().__init__(cfg, *dictionaries)
        self.pruning = _schedule(cfg)

    def build_model(self, cfg: DictConfig, from_checkpoint: bool = False) -> nn.Module:
        """Raises: ValueError if the model has no such student."""
        model = super().build_model(cfg, from_checkpoint)
        if self.cfg.eval_bleu:
            self.bleu_tokenizer, note = quality.tokenizer_for(self.cfg.target_lang or "")
            if note:
                logging.getLogger(__name__).info(note)
        # A model that is read may be one that was cut, which says its own BLEU.
        if self.cfg.eval_bleu_student and (isinstance(model, WithStudents) or not from_checkpoint):
            student = self._student(model)
            self.sequence_generator = self.build_generator(
                [student], Namespace(**json.loads(self.cfg.eval_bleu_args))
            )
        return model

    def optimizer_step(
        self, optimizer: FairseqOptimizer, model: nn.Module, update_num: int
    ) -> None:
        """fairseq's, and pruning, if it is asked for. `update_num` counts the updates before."""
        if self.pruning is None:
            super().optimizer_step(optimizer, model, update_num)
            return
        with pruning(self.pruning, optimizer, model, update_num + 1):
            super().optimizer_step(optimizer, model, update_num)
        sparsity = self.pruning.sparsity_after(update_num + 1)
        metrics.log_scalar("sparsity", sparsity, weight=0, round=4)  # weight 0: the last one

    def _inference_with_bleu(self, generator, sample, model):
        """fairseq names no tokenizer, and sacreBLEU then counts 13a's words in every language."""
        corpus_bleu = sacrebleu.corpus_bleu
        sacrebleu.corpus_bleu = partial(corpus_bleu, tokenize=self.bleu_tokenizer)
        try:
            return super()._inference_with_bleu(generator, sample, model)
        finally:
            sacrebleu.corpus_bleu = corpus_bleu

    def _student(self, model):
        flag = f"--eval-bleu-student {self.cfg.eval_bleu_student}"
        if not self.cfg.eval_bleu:
            raise ValueError(f"{flag} needs --eval-bleu: add it")
        if not isinstance(model, WithStudents):
            raise ValueError(f"{flag} needs --arch transformer_selfteach, or one named alike")
        try:
            return model.student(self.cfg.eval_bleu_student)
        except ValueError as error:
            raise ValueError(f"{flag}: {error}") from None


def _schedule(cfg):
    """None without pruning."""
    if not cfg.pruning_sparsity:
        for name in ("pruning_end_update", "pruning_start_update", "pruning_interval"):
            if (value := getattr(cfg, name)) != getattr(SelfteachTranslationConfig, name):
                raise ValueError(
                    f"--{name.replace('_', '-')} {value} needs --pruning-sparsity: say which "
                    "share, such as 0.5, or leave it out"
                )
        return None
    if cfg.pruning_end_update is None:
        raise ValueError(
            f"--pruning-sparsity {cfg.pruning_sparsity} needs --pruning-end-update: say by which "
            "update, such as three quarters of all"
        )
    schedule = Schedule(
        cfg.pruning_sparsity,
        cfg.pruning_start_update,
        cfg.pruning_end_update,
        cfg.pruning_interval,
    )
    schedule.check()
    return schedule
