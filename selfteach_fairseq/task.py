"""`translation_selfteach`: fairseq's translation task, whose validation BLEU may be a student's."""

import json
from argparse import Namespace
from dataclasses import dataclass, field
from typing import Optional

from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from .student import Student


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
    def build_model(self, cfg, from_checkpoint=False):
        """Raises: ValueError if the model has no such student."""
        model = super().build_model(cfg, from_checkpoint)
        if self.cfg.eval_bleu and self.cfg.eval_bleu_student:
            student = model.student(*Student.parse(self.cfg.eval_bleu_student))
            self.sequence_generator = self.build_generator(
                [student], Namespace(**json.loads(self.cfg.eval_bleu_args))
            )
        return model
