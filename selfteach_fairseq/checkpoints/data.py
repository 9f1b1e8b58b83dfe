"""The data folder of a checkpoint: its languages, its dictionaries, and batches of a split."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fairseq.data import Dictionary
from fairseq.data.data_utils import infer_language_pair, numpy_seed
from fairseq.tasks.translation import load_langpair_dataset

from ..errors import DataError, one_line

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

_WITH_LANGUAGE_TOKENS = ("translation_multi_simple_epoch", "translation_from_pretrained_bart")
_LANGUAGE = re.compile(r"\w[\w@.-]*")  # sr@latin, zh_CN.GB2312


def languages(checkpoint: "Checkpoint", data: Path | str) -> tuple[str, str]:
    """The languages of a checkpoint, or else, as fairseq-train finds them, of the data.

    Args:
        checkpoint: a Checkpoint
        data: folder of fairseq-preprocess

    Returns: (source, target)
    Raises: DataError if the folder has no dictionaries of them, or the task is one that puts
        tokens of its own into the text.
    """
    task = checkpoint.cfg["task"]
    if checkpoint.is_encoder:
        raise DataError("the checkpoint is an encoder's, which translates nothing")
    if task["_name"] in _WITH_LANGUAGE_TOKENS:
        raise DataError(
            f"the checkpoint is of --task {task['_name']}, which puts language tokens into the "
            "text and the dictionaries: cut it with truncate, and translate with that task's "
            "fairseq-generate"
        )
    source, target = task.get("source_lang", ""), task.get("target_lang", "")
    if (not source or not target) and Path(data).is_dir():
        source, target = infer_language_pair(str(data))
    for language in (source, target):
        named = language if isinstance(language, str) and _LANGUAGE.fullmatch(language) else "*"
        if not (Path(data) / f"dict.{named}.txt").is_file():
            raise DataError(
                f"{data}: has no dict.{named}.txt: name the folder that "
                "fairseq-preprocess made for the checkpoint's languages"
            )
    return source, target


def dictionaries(
    checkpoint: "Checkpoint", data: Path | str, pair: tuple[str, str]
) -> tuple[Dictionary, Dictionary]:
    """The dictionaries of a pair of languages, (source, target), in a data folder.

    Raises: DataError if one does not fit the model of a checkpoint.
    """
    found = []
    for side, language in zip(("encoder", "decoder"), pair, strict=True):
        path = Path(data) / f"dict.{language}.txt"
        try:
            dictionary = Dictionary.load(str(path))
        except Exception as error:  # fairseq raises that, and others
            raise DataError(
                f"{path}: is no dictionary ({one_line(error)}): run fairseq-preprocess again"
            ) from None
        if dictionary[dictionary.nspecial].startswith("\ufeff"):
            raise DataError(
                f"{path}: begins with a byte order mark, which fairseq takes for a part of its "
                "first word: save it without"
            )
        types, rows = len(dictionary), checkpoint.types(side)
        # Of merged embeddings each dictionary fills a part only.
        if types != rows and not checkpoint.settings.get("merge_src_tgt_embed"):
            raise DataError(
                f"{path}: has {types} types and the checkpoint {rows}: name the data folder "
                "that it was trained on"
            )
        found.append(dictionary)
    return tuple(found)


def lacks_targets(data: Path | str, subset: str, pair: tuple[str, str]) -> bool:
    """Whether a split has a source side alone, as `fairseq-preprocess --only-source` makes it."""
    source, target = pair
    return _has_side(data, subset, pair, source) and not _has_side(data, subset, pair, target)


def has_targets(data: Path | str, subset: str, pair: tuple[str, str]) -> bool:
    """Whether there is a split with its target side."""
    return _has_side(data, subset, pair, pair[1])


def _has_side(data, subset, pair, language):
    """Binary, or as plain text."""
    source, target = pair
    prefixes = (f"{subset}.{source}-{target}.", f"{subset}.{target}-{source}.")
    names = (f"{prefix}{language}{suffix}" for prefix in prefixes for suffix in (".idx", ""))
    return any(Path(data, name).is_file() for name in names)


def batches(
    data: Path | str,
    subset: str,
    pair: tuple[str, str],
    dictionaries: tuple[Dictionary, Dictionary],
    *,
    longest: tuple[int, int],
    count: int | None,
    max_tokens: int,
) -> tuple[list[dict[str, Any]], int]:
    """The first batches of a split, always the same ones in the same order.

    Sentences of like length share a batch, and the batches come shuffled, as in training: so a
    few of them stand for the whole split.

    Args:
        data: folder of fairseq-preprocess
        subset: train, valid, ...
        pair, dictionaries: of source and target
        longest: the most tokens that the model takes, of source and target
        count: how many batches; None, or a split with fewer: all it has
        max_tokens: the most tokens of a batch, padding included, on the longer side

    Returns: (samples, too_long): batches as fairseq makes them, and how many sentences of the
        split no batch can take, for they exceed `longest` or `max_tokens`.
    Raises: ValueError if there is no such split, or nothing in it.
    """
    # train, train1, ..., as fairseq-train has it
    dataset = _dataset(data, subset, pair, dictionaries, combine=subset == "train")
    if dataset.tgt is None:
        raise _missing(data, subset, pair)
    with numpy_seed(1):
        order, too_long = dataset.filter_indices_by_size(
            dataset.ordered_indices(), [min(positions, max_tokens) for positions in longest]
        )
        if not len(order):
            raise ValueError(
                f"{data}: {subset} has no sentence of at most {max_tokens} tokens: "
                "raise --max-tokens"
            )
        chosen = list(dataset.batch_by_size(order, max_tokens=max_tokens))
        np.random.shuffle(chosen)
    samples = [dataset.collater([dataset[i] for i in batch]) for batch in chosen[:count]]
    _check_types(samples, dictionaries, f"{data}: {subset}")
    return samples, len(too_long)


def batches_to_translate(
    data: Path | str,
    subset: str,
    pair: tuple[str, str],
    dictionaries: tuple[Dictionary, Dictionary],
    *,
    longest: tuple[int, int],
    batch_size: int,
    max_tokens: int | None = None,
) -> list[dict[str, Any]]:
    """All batches of a split, those of `fairseq-generate --required-batch-size-multiple 1`.

    Args:
        longest: the most tokens that the model takes, of source and target
        batch_size: the most sentences of a batch
        max_tokens: the most tokens of a batch, padding included, on the longer side

    Returns: samples as fairseq makes them, without targets if the split has none.
    Raises: ValueError if there is no such split, or a sentence is longer than the model takes.
    """
    form = {"combine": False, "shuffle": subset != "test"}
    dataset = _dataset(data, subset, pair, dictionaries, **form)
    with numpy_seed(1):  # fairseq-generate's seed
        order, too_long = dataset.filter_indices_by_size(dataset.ordered_indices(), longest)
    if too_long:
        raise ValueError(
            f"{data}: {len(too_long):,} sentences of {subset}, such as {too_long[0]} (from 0), are "
            f"longer than the model takes, {longest[0]:,} tokens: leave them out"
        )
    chosen = dataset.batch_by_size(order, max_tokens=max_tokens, max_sentences=batch_size)
    samples = [dataset.collater([dataset[i] for i in batch]) for batch in chosen]
    _check_types(samples, dictionaries, f"{data}: {subset}")
    return samples


def _dataset(data, subset, pair, dictionaries, **form):
    # Not by fairseq's task, which would take a colon in the path as the end of it.
    (source, target), (source_dictionary, target_dictionary) = pair, dictionaries
    try:
        dataset = load_langpair_dataset(
            *(str(data), subset, source, source_dictionary, target, target_dictionary),
            dataset_impl=None,
            upsample_primary=1,
            left_pad_source=True,
            left_pad_target=False,
            max_source_positions=None,
            max_target_positions=None,
            **form,
        )
    except FileNotFoundError:
        dataset = None
    except Exception as error:  # whatever a damaged file breaks in fairseq's readers
        raise ValueError(
            f"{data}: its {subset} can't be read ({one_line(error)}): run fairseq-preprocess again"
        ) from None
    if dataset is None:
        raise _missing(data, subset, pair)
    return dataset


def _missing(data, subset, pair):
    return ValueError(
        f"{data}: has no {subset} of {' and '.join(pair)}: choose another --subset, or run "
        "fairseq-preprocess for it"
    )


def _check_types(samples, dictionaries, where):
    """torch's own error would be a traceback, and on a GPU the end of the process."""
    for sample in samples:
        tokens = (sample["net_input"]["src_tokens"], sample["target"])
        for side, dictionary in zip(tokens, dictionaries, strict=True):
            if side is not None and side.max() >= len(dictionary):
                raise ValueError(
                    f"{where} holds a type that its dictionary lacks: run fairseq-preprocess again"
                )
