"""How likely a model finds the text of a data folder: bits a token, as fairseq-train logs them.

Shapes: B batch, T target length, V types.
"""

import math
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from fairseq.utils import apply_to_sample
from torch.nn import functional as F

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.data import batches

_MAX_TOKENS = 4000  # of a batch


def bits(
    model: Checkpoint,
    data: Path | str,
    subset: str,
    pair: tuple[str, str],
    dictionaries: tuple[Dictionary, Dictionary],
    cpu: bool = False,
) -> float:
    """The mean over the target tokens, ends of sentences included, of -log2 p.

    Sentences longer than the model takes are left out.

    Args:
        model: one that stock fairseq builds
        data: folder of fairseq-preprocess
        subset: valid, test, ...
        pair, dictionaries: of source and target
        cpu: even if there is a GPU

    Raises: ValueError if there is no such split, or nothing in it.
    """
    built: Any = model.build(TranslationTask(TranslationConfig(), *dictionaries)).float().eval()
    device = "cuda" if torch.cuda.is_available() and not cpu else "cpu"
    built.to(device)
    samples, _ = batches(
        *(data, subset, pair, dictionaries),
        longest=built.max_positions(),
        count=None,
        max_tokens=_MAX_TOKENS,
    )
    nats, tokens = 0.0, 0
    with torch.no_grad():
        for sample in samples:
            sample = apply_to_sample(lambda tensor: tensor.to(device), sample)
            output = built(**sample["net_input"])
            log_p = built.get_normalized_probs(output, log_probs=True, sample=sample)  # (B, T, V)
            target, pad = sample["target"], dictionaries[1].pad()
            nats += F.nll_loss(
                log_p.flatten(0, 1), target.flatten(), ignore_index=pad, reduction="sum"
            ).item()
            tokens += target.ne(pad).sum().item()
    return nats / tokens / math.log(2)
