"""What an interrupted training goes on from: a checkpoint that is whole, and the patience so far.

fairseq reads checkpoints back without a hook in between, so the function that does is wrapped.
"""

import logging
import re
import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from fairseq import checkpoint_utils

from ..checkpoints.checkpoint import Checkpoint
from ..errors import CheckpointError, LimitError, one_line
from .whole_files import copy_whole

logger = logging.getLogger(__name__)

_LAST = "checkpoint_last.pt"  # what fairseq takes for no --restore-file at all
_FINE_TUNING, _CONTINUING = "--finetune-from-model", "--continue-once"
_PATIENCE, _METRIC = "early_stopping", "best_checkpoint_metric"
_LIKE_PARAMETERS = {"exp_avg", "exp_avg_sq", "momentum_buffer"}


def _load_checkpoint(cfg, trainer, **options):
    """checkpoint_utils.load_checkpoint of a sound file only, and with all that training knew.

    fairseq dies of a torn file, though a good one may lie beside it; it forgets how many
    validations there have been without a gain, so that after a restart it waits longer; it
    divides the text into other batches than before; and it trains on after the last update.

    Raises: SystemExit, with one line, if the file is damaged and there is none to replace it, or
        if it is of another model; and without an error if it is of a training that has ended.
    """
    source = _source(cfg, trainer.checkpoint_suffix)
    path = source.path
    if trainer.data_parallel_rank == 0 and path.exists():
        _repair(source, trainer.checkpoint_suffix)
    if trainer.data_parallel_world_size > 1:
        torch.distributed.barrier(group=trainer.data_parallel_process_group)
    metric = (
        f"{'most' if cfg.maximize_best_checkpoint_metric else 'least'} {cfg.best_checkpoint_metric}"
    )
    if not hasattr(trainer.task, "get_checkpoint_dict"):
        trainer.task.get_checkpoint_dict = partial(_patience, metric)
    one_cut = not (
        options.get("disable_iterator_cache") or trainer.cfg.dataset.update_epoch_batch_itr
    )
    try:
        with (
            _batches_of_the_first_epoch(trainer) if one_cut else nullcontext(),
            _every_worker_reads(trainer.cfg.checkpoint),
        ):
            extra_state, epoch_itr = _fairseq_load_checkpoint(cfg, trainer, **options)
        _check_optimizer(trainer.optimizer.optimizer)
    except OSError:
        raise
    except Exception as error:  # fairseq raises that, for a model of another shape
        if not path.exists():
            raise
        why = one_line(error.__context__ or error)
        raise SystemExit(
            f"{path}: does not fit this training ({why}): use the settings and the data that it "
            "was made with, or another --save-dir"
        ) from None
    is_new = source.option == _FINE_TUNING
    if extra_state and not (is_new or cfg.reset_meters or cfg.reset_optimizer):
        if (before := extra_state.get(_METRIC, metric)) == metric:
            _early_stopping().update(extra_state.get(_PATIENCE, {}))
        else:
            logger.warning(f"{path}: its best is the {before}: here the best is sought anew")
            vars(checkpoint_utils.save_checkpoint).pop("best", None)
        if _has_ended(trainer, _updates(trainer, source)):
            logger.info(f"{path}: this training has come to its end, there is nothing left to do")
            raise SystemExit
    return extra_state, epoch_itr


def _check_optimizer(optimizer):
    """torch itself notices another shape in the first update only, with a traceback."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for name in _LIKE_PARAMETERS & state.keys():
                if state[name] is not None and state[name].shape != parameter.shape:
                    kept, wanted = tuple(state[name].shape), tuple(parameter.shape)
                    raise ValueError(f"its optimizer's {name} is {kept}, not {wanted}")


def _updates(trainer, source):
    """How many there have been: without the optimizer's state fairseq counts from 0 again."""
    if trainer.get_num_updates():
        return trainer.get_num_updates()
    updates = trainer._optim_history[-1]["num_updates"]
    logger.warning(
        f"{source.path}: has no optimizer's state (--no-save-optimizer-state): after {updates} "
        "updates, the optimizer, its learning rate and the count of updates start anew"
    )
    return updates if source.option in (None, _CONTINUING) else 0


def _has_ended(trainer, updates):
    patience, most = trainer.cfg.checkpoint.patience, trainer.cfg.optimization.max_update
    in_vain = _early_stopping().get("num_runs", 0)
    return 0 < patience <= in_vain or 0 < most <= updates


@contextmanager
def _every_worker_reads(cfg):
    """Has every worker read the file.

    fairseq has the first one read it and send it to the others, as an object that torch's safe
    loader refuses there.
    """
    before = cfg.load_checkpoint_on_all_dp_ranks
    cfg.load_checkpoint_on_all_dp_ranks = True
    try:
        yield
    finally:
        cfg.load_checkpoint_on_all_dp_ranks = before


@contextmanager
def _batches_of_the_first_epoch(trainer):
    """Has the trainer make the batches of epoch 1, whichever epoch it goes on in.

    fairseq makes them once, at random by the epoch it starts in, and later only shuffles them; but
    of a task that draws other text for each epoch it makes them anew.
    """
    build, task = trainer.get_train_iterator, trainer.task

    def of_the_first(epoch, **options):
        found = build(epoch, **options)
        dataset = task.dataset(trainer.cfg.dataset.train_subset)
        if epoch == 1 or not task.can_reuse_epoch_itr(dataset):
            return found
        task.dataset_to_epoch_iter.pop(dataset, None)
        return build(1, **{**options, "load_dataset": False})

    trainer.get_train_iterator = of_the_first
    try:
        yield
    finally:
        del trainer.get_train_iterator


class _Source(NamedTuple):
    """The file that fairseq is going to load, and the option that names it, if any does."""

    path: Path
    option: str | None


def _source(cfg, suffix):
    """As checkpoint_utils.load_checkpoint chooses it."""
    last = Path(cfg.save_dir, f"checkpoint_last{suffix}.pt")
    if cfg.restore_file != _LAST:
        path = Path(cfg.restore_file.replace(".pt", f"{suffix}.pt"))
        return _Source(path, "--restore-file")
    if last.exists():
        return _Source(last, None)
    if cfg.continue_once is not None:
        return _Source(Path(cfg.continue_once), _CONTINUING)
    if cfg.finetune_from_model is not None:
        return _Source(Path(cfg.finetune_from_model), _FINE_TUNING)
    return _Source(last, None)


def _repair(source, suffix):
    """Puts a sound file in the place of a last one that is not."""
    path, option = source
    try:
        Checkpoint.read(path, any_size=True)
    except LimitError as error:  # it may be sound: nothing replaces it
        raise SystemExit(str(error)) from None
    except CheckpointError as error:
        good = (
            newest_sound(path.parent, suffix)
            if path.name == f"checkpoint_last{suffix}.pt"
            else None
        )
        if good is None:
            way_out = f"name another with {option}" if option else "remove it to start anew"
            raise SystemExit(f"{error}, or {way_out}") from None
        logger.warning(f"{error}. Going on from {good.name}")
        copy_whole(good, path)


def newest_sound(folder: Path | str, suffix: str = "") -> Path | None:
    """The newest of fairseq's checkpoints that training can go on from, but the last; or None.

    Args:
        suffix: `--checkpoint-suffix`, for a folder may have those of several runs
    """
    kinds = r"\d+|_\d+_\d+|_best|\.best_.+_-?[\d.]+"
    name = re.compile(rf"checkpoint({kinds}){re.escape(suffix)}\.pt")
    paths = [path for path in Path(folder).iterdir() if name.fullmatch(path.name)]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            if Checkpoint.read(path, any_size=True).resumable:
                return path
        except CheckpointError as error:
            logger.warning(str(error))
    return None


def _early_stopping():
    """What fairseq-train counts, in attributes of its function."""
    for module in ("__main__", "fairseq_cli.train"):
        function = getattr(sys.modules.get(module), "should_stop_early", None)
        if function is not None:
            return vars(function)
    return {}


def _patience(metric):
    """For the checkpoint's `extra_state`, as plain numbers, and what they are of."""
    kept = _early_stopping()
    counted = {"best": float, "num_runs": int}
    counts = {name: kind(kept[name]) for name, kind in counted.items() if name in kept}
    return {_PATIENCE: counts, _METRIC: metric}


_fairseq_load_checkpoint = checkpoint_utils.load_checkpoint


def apply() -> None:
    checkpoint_utils.load_checkpoint = _load_checkpoint
