"""Classify a data folder's sentences, and say how good, how large and how fast a classifier is."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from fairseq.tasks.sentence_prediction import SentencePredictionConfig, SentencePredictionTask
from omegaconf import OmegaConf
from torch import Tensor

from ..checkpoints.checkpoint import Checkpoint
from ..errors import CheckpointError, DataError, one_line
from .confusion import confusion, places, scores
from .criterion import labels_of

_TASK = "sentence_prediction"


def is_classified(folder: Path | str) -> bool:
    """Whether a data folder is of fairseq's task of classes."""
    return (Path(folder) / "input0" / "dict.txt").is_file()


class Classifier:
    """A checkpoint's model, and the labels and the dictionary of a folder for it.

    Raises: ValueError if the checkpoint is no classifier, or the folder does not fit it.
    """

    def __init__(self, checkpoint: Checkpoint, folder: Path | str) -> None:
        self.checkpoint = checkpoint
        self.task = task_of(checkpoint, folder)
        name = self.task.cfg.classification_head_name
        head = checkpoint.weights.get(f"classification_heads.{name}.out_proj.weight")
        if head is None:
            raise CheckpointError(f"has no classification head {name}: fine-tune it first")
        self.labels = labels_of(self.task.label_dictionary)
        if len(self.labels) > len(head):
            raise DataError(
                f"{folder}: has {len(self.labels)} labels and the checkpoint {len(head)} classes: "
                "name the folder that it was trained on"
            )
        self.head = name
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model: Any = checkpoint.build(self.task).float().eval().to(self.device)
        self.longest = self.task.max_positions()

    def split(self, subset: str) -> tuple[list[Tensor], list[int]]:
        """The sentences of a split, and their classes by number.

        Raises: DataError if there is no such split, or nothing in it, or no labels for it.
        """
        try:
            dataset = self.task.load_dataset(subset)
            items = [dataset[i] for i in range(len(dataset))]
        except (AssertionError, FileNotFoundError):
            items = []
        if not items:
            raise DataError(
                f"{self.task.cfg.data}: has no {subset}: choose another --subset, or run "
                "fairseq-preprocess for it"
            )
        if "target" not in items[0]:
            raise DataError(f"{self.task.cfg.data}: its {subset} has no labels")
        targets = [int(item["target"]) for item in items]
        if not 0 <= min(targets) <= max(targets) < len(self.labels):
            raise DataError(
                f"{self.task.cfg.data}: its {subset} has a label that training has not: leave it "
                "out"
            )
        sentences = [item["net_input.src_tokens"] for item in items]
        if max(tokens.max() for tokens in sentences) >= len(self.task.dictionary):
            raise DataError(
                f"{self.task.cfg.data}: its {subset} holds a type that its dictionary lacks: run "
                "fairseq-preprocess again"
            )
        return sentences, targets

    def batches(self, subset: str, count: int, max_tokens: int) -> tuple[list[dict[str, Any]], int]:
        """So many batches of a split, of at most so many tokens, padding included, in any order.

        Returns: (samples as fairseq makes them, with the head's name among the inputs; how many
            sentences no batch can take). Raises: DataError, see split().
        """
        sentences, targets = self.split(subset)
        limit = min(self.longest, max_tokens)
        fitting = [i for i, tokens in enumerate(sentences) if len(tokens) <= limit]
        chosen = [fitting[i] for i in np.random.RandomState(1).permutation(len(fitting))]
        samples: list[dict[str, Any]] = []
        while chosen and len(samples) < count:
            numbers = [chosen.pop()]
            longest = len(sentences[numbers[0]])
            while chosen:
                longest = max(longest, len(sentences[chosen[-1]]))
                if longest * (len(numbers) + 1) > max_tokens:
                    break
                numbers.append(chosen.pop())
            samples.append(
                {
                    "net_input": {
                        "src_tokens": self._padded([sentences[i] for i in numbers]),
                        "classification_head_name": self.head,
                    },
                    "target": torch.tensor([targets[i] for i in numbers]),
                    "nsentences": len(numbers),
                }
            )
        return samples, len(sentences) - len(fitting)

    def _padded(self, sentences):
        return torch.nn.utils.rnn.pad_sequence(
            sentences, batch_first=True, padding_value=self.task.dictionary.pad()
        )

    @torch.inference_mode()
    def probabilities(self, sentences: Sequence[Tensor], batch_size: int) -> Tensor:
        """Of each class, (sentences, classes), in the order of the sentences.

        Args:
            sentences: their tokens; what is longer than the model takes is cut
        """
        found = torch.empty(len(sentences), len(self.labels))
        for numbers in _batches(sentences, batch_size):
            tokens = self._padded([sentences[i][: self.longest] for i in numbers])
            logits, _ = self.model(tokens.to(self.device), classification_head_name=self.head)
            found[numbers] = logits[:, : len(self.labels)].softmax(dim=-1).cpu()
        return found


def _batches(sentences: Sequence[Tensor], batch_size: int) -> Iterator[list[int]]:
    """Numbers of sentences, those of like length together."""
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def task_of(checkpoint: Checkpoint, folder: Path | str) -> SentencePredictionTask:
    """fairseq's task, as the checkpoint was trained, on this folder.

    Raises: ValueError if the checkpoint is no classifier, or the folder does not fit it.
    """
    settings = checkpoint.cfg["task"]
    if not checkpoint.is_encoder or settings["_name"] != _TASK:
        raise CheckpointError(f"is of --task {settings['_name']}, not {_TASK}")
    known = SentencePredictionConfig.__dataclass_fields__
    cfg = {name: value for name, value in settings.items() if name in known}
    # OmegaConf would read a dollar sign in the path as its own.
    task_settings = OmegaConf.create({**cfg, "data": "", "regression_target": False})
    task_settings.data = str(folder)
    try:
        task = SentencePredictionTask.setup_task(task_settings)
    except FileNotFoundError as error:
        raise DataError(
            f"{folder}: has no {Path(str(error.filename)).parent.name}/dict.txt: name the data "
            "folder that the model was trained on"
        ) from None
    except Exception as error:  # whatever a damaged dictionary breaks in fairseq
        raise DataError(f"{folder}: its dictionary can't be read ({one_line(error)})") from None
    rows, types = checkpoint.types("encoder"), len(task.dictionary)
    if rows != types:
        raise DataError(
            f"{folder}: its dictionary has {types} types and the checkpoint {rows}: name the "
            "folder that it was trained on"
        )
    return task


def score(
    checkpoint: Checkpoint, data: Path | str, subset: str, batch_size: int, repeat: int
) -> tuple[dict[str, Any], list[str]]:
    """Classify a split with one checkpoint.

    Args:
        data: folder of input0, label, and of pairs input1, of fairseq-preprocess
        batch_size: sentences
        repeat: classify so many times; the speed is the median one

    Returns: (fields of a record, the labels that it says).
    Raises: ValueError for a checkpoint or a folder that can't be used.
    """
    classifier = Classifier(checkpoint, data)
    sentences, targets = classifier.split(subset)
    cut = sum(len(tokens) > classifier.longest for tokens in sentences)
    if cut:
        print(f"{cut:,} sentences are cut to {classifier.longest:,} tokens", file=sys.stderr)
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        said = classifier.probabilities(sentences, batch_size).argmax(dim=1)
        seconds.append(time.perf_counter() - start)
    place = places(classifier.labels)
    matrix = confusion(place[torch.tensor(targets)], place[said], len(place))
    fields = {
        **{name: round(value, 2) for name, value in scores(matrix).items()},
        "classes": len(classifier.labels),
        "sentences": len(sentences),
        "cut_sentences": cut,
        "seconds": round(median(seconds), 3),
        "sentences_per_second": round(len(sentences) / median(seconds), 2),
    }
    return fields, [classifier.labels[number] for number in said]
