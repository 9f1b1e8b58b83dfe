"""What the families of encoder-decoder Transformers have in common."""

from typing import Any

import torch
from fairseq.models import build_model
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import nn

from ..layers import SIDES
from .family import Family, Settings, Weights, placeholders

_LEAST_IN_LAYER = 12  # tensors
_PLAIN = "label_smoothed_cross_entropy"
_OURS: tuple[str, ...] = ("label_smoothed_ce_selfteach", "word_level_distillation", "r_drop")
_OURS += ("r3f_translation", "intra_distillation")


def build(family: Family, settings: Settings, weights: Weights) -> nn.Module:
    """See Family.build()."""
    counts = family.depth(weights).counts
    wanted = [settings.get(f"{s}_layers", n) for s, n in zip(SIDES, counts, strict=True)]
    if wanted != [*counts]:
        raise ValueError(f"{wanted} layers, and {[*counts]}")
    if _LEAST_IN_LAYER * sum(counts) > len(weights):
        raise ValueError(f"{[*counts]} layers out of {len(weights)} tensors")
    sizes = [family.types(weights, side) for side in SIDES]
    dictionaries = {size: placeholders(size) for size in sizes}  # of one size: the same
    task = TranslationTask(TranslationConfig(), *(dictionaries[size] for size in sizes))
    without_files = {f"{side}_embed_path": None for side in SIDES}
    with torch.device("meta"):
        return build_model(family.given({**settings, **without_files}), task)


IN_COMMON: dict[str, Any] = {  # of a Family's fields
    "sides": SIDES,
    "embeddings": (
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
        "decoder.output_projection.weight",
    ),
    "criteria": dict.fromkeys(_OURS, _PLAIN),
    "tasks": {"translation_selfteach": "translation"},
    "builder": build,
}
