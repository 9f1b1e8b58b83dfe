"""What importance is measured of: a translator or a classifier, and batches of its text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import nn

from ..checkpoints import data
from ..checkpoints.checkpoint import Checkpoint
from ..classes.classifier import Classifier, task_of
from ..errors import DataError

Batch = dict[str, Any]


class Subject(NamedTuple):
    """A checkpoint's model in eval mode, on a GPU if there is one, beside a data folder."""

    model: nn.Module
    unit: str  # over which the loss is a mean: target token, or sentence
    # (split, batches, tokens of one) -> (samples, sentences that are too long for one)
    batches: Callable[[str, int, int], tuple[list[Batch], int]]
    units_in: Callable[[Batch], int]


def check_fits(checkpoint: Checkpoint, folder: Path | str) -> None:
    """Raises: ValueError if the folder's dictionaries are not the checkpoint's."""
    if checkpoint.is_encoder:
        task_of(checkpoint, folder)
    else:
        data.dictionaries(checkpoint, folder, data.languages(checkpoint, folder))


def subject_of(checkpoint: Checkpoint, folder: Path | str) -> Subject:
    """Raises: ValueError if the folder does not fit the checkpoint, which stock fairseq loads."""
    if checkpoint.is_encoder:
        classifier = Classifier(checkpoint, folder)
        return Subject(
            classifier.model, "sentence", classifier.batches, lambda sample: sample["nsentences"]
        )
    pair = data.languages(checkpoint, folder)
    dictionaries = data.dictionaries(checkpoint, folder, pair)
    task = TranslationTask(TranslationConfig(), *dictionaries)
    try:
        # These save memory in training; here they would only take time.
        model: Any = checkpoint.build(task, checkpoint_activations=False, offload_activations=False)
    except ValueError as error:  # embeddings that are shared, and dictionaries that differ
        raise DataError(f"{folder}: does not fit {checkpoint.path}: {error}") from None

    def batches(subset, count, max_tokens):
        return data.batches(
            *(folder, subset, pair, dictionaries),
            longest=model.max_positions(),
            count=count,
            max_tokens=max_tokens,
        )

    padding = dictionaries[1].pad()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Subject(
        model.eval().to(device),
        "target token",
        batches,
        lambda sample: sample["target"].ne(padding).sum().item(),
    )
