"""Self-teaching for fairseq: one training run, and the model's first layers are models too.

Importing this package, as fairseq's `--user-dir` does, registers the architectures
`transformer_selfteach*`, `bart_selfteach*` and `roberta_selfteach*`, the criteria
`label_smoothed_ce_selfteach` and `sentence_prediction_selfteach`, the task
`translation_selfteach`, the optimizer `adam_fused`, the baselines' criteria
`word_level_distillation`, `r_drop` and `sentence_prediction_distillation`, and those of robust
fine-tuning, `r3f_translation` and `intra_distillation`.
"""

# First: it refuses a fairseq that the others can't be built on.
from . import requirements  # noqa: F401

# isort: split
from . import patches
from .classes import distillation, sentence_prediction  # noqa: F401
from .criterions import intra_distillation, r3f, r_drop, selfteach, word_level  # noqa: F401
from .models import architectures  # noqa: F401
from .optim import adam_fused  # noqa: F401
from .tasks import translation  # noqa: F401

patches.apply()

__version__ = "0.1.0"
