"""`translation_selfteach`: fairseq's translation task, whose validation BLEU may be a student's."""

import json
import logging
from argparse import Namespace
from dataclasses import dataclass, field
from functools import partial
from typing import Optional

import sacrebleu
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import DictConfig
from torch import nn

from ..evaluation import quality
from ..models.transformer import TransformerSelfteachModel


@dataclass
class SelfteachTranslationConfig(TranslationConfig):
    eval_bleu_student: Optional[str] = field(
        default=None,
        metadata={
            "help": "with --eval-bleu: the student whose translations are scored, such as 3x3 "
            "(default: the full model)"
        },
    )


@register_task("translation_selfteach", dataclass=SelfteachTranslationConfig)
class SelfteachTranslationTask(TranslationTask):
    def build_model(self, cfg: DictConfig, from_checkpoint: bool = False) -> nn.Module:
        """Raises: ValueError if the model has no such student."""
        model = super().build_model(cfg, from_checkpoint)
        if self.cfg.eval_bleu:
            self.bleu_tokenizer, note = quality.tokenizer_for(self.cfg.target_lang or "")
            if note:
                logging.getLogger(__name__).info(note)
        if self.cfg.eval_bleu_student and not from_checkpoint:
            student = self._student(model)
            self.sequence_generator = self.build_generator(
                [student], Namespace(**json.loads(self.cfg.eval_bleu_args))
            )
        return model

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
        if not isinstance(model, TransformerSelfteachModel):
            raise ValueError(f"{flag} needs --arch transformer_selfteach, or one named alike")
        try:
            return model.student(self.cfg.eval_bleu_student)
        except ValueError as error:
            raise ValueError(f"{flag}: {error}") from None
