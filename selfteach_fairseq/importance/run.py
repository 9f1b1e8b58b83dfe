"""Layer importance through the checkpoints of a run, from files to a table.

What is measured is defined in importance.py.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..checkpoints.checkpoint import Checkpoint
from ..errors import CheckpointError
from ..files import write_table
from ..progress import Progress
from .importance import ALL, SIDES, Key, groups, loss_without, numbers, part_importance
from .subject import check_fits, subject_of

BATCHES, MAX_TOKENS = 20, 4096  # by default
_LEAST = 3  # layers, for a correlation to say anything


class Row(NamedTuple):
    """The importance of a layer, or of one of its sub-layers, at one checkpoint."""

    checkpoint: str
    updates: int
    side: str
    layer: int  # from 1
    part: str
    parameters: int
    importance: float  # nats per target token, or sentence
    rank: int  # 1: the most important of its side, among the layers or the sub-layers of its kind
    loss_change: float | None = None  # nats per target token, or sentence, when it is set to zero


class Run(NamedTuple):
    """What measure() finds."""

    rows: list[Row]  # checkpoint by checkpoint
    losses: list[float]  # the checkpoints' L
    sentences: int
    units: int  # target tokens, or of a classifier's sentences
    unit: str  # what a single one is called
    too_long: int  # sentences of the split that no batch could take
    copies: int  # checkpoints left out, for another holds the same state


def of_checkpoint(
    path: Path | str,
    folder: Path | str,
    subset: str = "valid",
    batches: int = BATCHES,
    max_tokens: int = MAX_TOKENS,
) -> dict[tuple[str, int], float]:
    """The importance of every layer at one checkpoint, {(side, layer from 1): nats per token}.

    Arguments and errors: see measure().
    """
    rows = measure([path], folder, subset, batches, max_tokens).rows
    return {(row.side, row.layer): row.importance for row in rows}


def measure(
    paths: Sequence[Path | str],
    folder: Path | str,
    subset: str = "valid",
    batches: int = BATCHES,
    max_tokens: int = MAX_TOKENS,
    sub_layers: bool = False,
    zeroing: bool = False,
) -> Run:
    """The importance of every layer through the checkpoints of a run, on a GPU if there is one.

    Args:
        paths: of checkpoints of fairseq Transformers, in any order
        folder: of fairseq-preprocess
        subset: train, valid, ...
        batches, max_tokens: so many batches of at most so many tokens; see data.batches()
        sub_layers: measure the sub-layers, too
        zeroing: see also what each measured part's loss_without() is, at the last checkpoint

    Returns: Run
    Raises: ValueError if a checkpoint or the data can't be used, or the depths differ.
    """
    checkpoints = _in_order(paths, folder)
    subject = _subject(checkpoints[0][1], folder)
    samples, too_long = subject.batches(subset, batches, max_tokens)
    keys = [key for key in groups(subject.model) if sub_layers or key[2] == ALL]
    passes = len(checkpoints) + (len(keys) if zeroing else 0)
    rows: list[Row] = []
    losses: list[float] = []
    with (
        Progress("importance", passes * len(samples)) as progress,
        warnings.catch_warnings(action="ignore"),  # torch's, of masks as fairseq makes them
    ):
        for number, (updates, path) in enumerate(checkpoints, start=1):
            model = _subject(path, folder).model
            importance, loss = part_importance(model, progress.over(samples))
            losses.append(loss)
            changes: dict[Key, float] = {}
            if zeroing and number == len(checkpoints):
                for key in keys:
                    changes[key] = loss_without(model, progress.over(samples), key) - loss
            sizes = {key: numbers(named) for key, named in groups(model).items()}
            for key in keys:
                side, _, part = key
                like = [importance[k] for k in keys if (k[0], k[2]) == (side, part)]
                rank = 1 + sum(value > importance[key] for value in like)
                size, change = sizes[key], changes.get(key)
                rows.append(Row(str(path), updates, *key, size, importance[key], rank, change))
    return Run(
        rows,
        losses,
        sentences=sum(sample["nsentences"] for sample in samples),
        units=sum(map(subject.units_in, samples)),
        unit=subject.unit,
        too_long=too_long,
        copies=len(paths) - len(checkpoints),
    )


def _subject(path, folder):
    return subject_of(Checkpoint.read(path).stock(), folder)


def _in_order(paths, folder):
    """[(number of updates, path)], rising, each number once. Raises: ValueError, see measure()."""
    found, deep = {}, None
    for path in sorted(paths, key=str):
        checkpoint = Checkpoint.read(path).stock()
        check_fits(checkpoint, folder)  # before the work
        deep = deep or (checkpoint.layers, path)
        if checkpoint.layers != deep[0]:
            raise CheckpointError(
                f"{path}: has {checkpoint.layers} layers and {deep[1]} has {deep[0]}: name the "
                "checkpoints of one run"
            )
        updates, digest = checkpoint.updates, checkpoint.digest
        first, same = found.setdefault(updates, (path, digest))
        if digest != same:
            raise CheckpointError(
                f"{path}: has other weights than {first} after as many updates ({updates:,}): name "
                "the checkpoints of one run"
            )
    return sorted((updates, path) for updates, (path, _) in found.items())


def correlations(rows: list[Row]) -> list[dict[str, Any]]:
    """How well the importance foretells the size of the loss change, among rows that have one.

    Returns: a dictionary for each kind of part on the encoder's side, the decoder's, and both:
        side, part, layers (how many rows), pearson and spearman; these are None if there are
        fewer than three rows, or all values are equal.
    """
    found: list[dict[str, Any]] = []
    rows = [row for row in rows if row.loss_change is not None]
    for part in dict.fromkeys(row.part for row in rows):
        for sides in (SIDES, *((side,) for side in SIDES)):
            chosen = [row for row in rows if row.part == part and row.side in sides]
            if len({row.side for row in chosen}) < len(sides):
                continue  # the encoder has no cross-attention
            values = np.abs(np.array([[row.importance, row.loss_change] for row in chosen])).T
            found.append(
                {
                    "side": sides[0] if len(sides) == 1 else "both",
                    "part": part,
                    "layers": len(chosen),
                    "pearson": _correlation(values),
                    "spearman": _correlation([_ranks(row) for row in values]),
                }
            )
    return found


def _correlation(values):
    values = np.asarray(values)
    if values.shape[-1] < _LEAST or (values == values[:, :1]).all(axis=1).any():
        return None
    return float(np.corrcoef(values)[0, 1])


def _ranks(values):
    """Equal values share the mean of their ranks."""
    below = (values[:, None] > values).sum(axis=1)
    return below + ((values[:, None] == values).sum(axis=1) + 1) / 2


def write_tsv(rows: list[Row], path: Path | str) -> None:
    """A line for each row; without zeroing, no column for the loss change.

    Raises: OSError, with one line, if it can't be written.
    """
    table = [row._asdict() for row in rows]
    if all(row.loss_change is None for row in rows):
        for row in table:
            del row["loss_change"]
    write_table(table, path, delimiter="\t", lineterminator="\n")
