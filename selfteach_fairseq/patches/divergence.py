"""A run whose numbers are no longer finite ends with one line, and its good checkpoints stay.

Each of the two functions here wraps one of fairseq's and names the fault that it mends.
"""

import math
import re
from pathlib import Path

from fairseq import checkpoint_utils
from fairseq.trainer import Trainer


def _train_step(trainer, samples, raise_oom=False):
    """Trainer.train_step, which says how to go on if the gradients or the loss scale give out.

    fairseq then runs the batch again to see which module is at fault, and dies of that: torch's
    backward hooks cannot take the dictionary of lists that a Transformer's encoder returns. What
    one sees is a StopIteration.

    Raises: SystemExit, with one line, if training has diverged.
    """
    try:
        return _fairseq_train_step(trainer, samples, raise_oom)
    except Exception as error:
        first = error if isinstance(error, FloatingPointError) else error.__context__
        if not isinstance(first, FloatingPointError):
            raise
        what, *details = str(first).split("\n")
        # Of several workers fairseq compares the gradients first, and NaN differs from itself.
        if details and not re.search("= -?(nan|inf)", str(first)):
            raise first from None
        raise _diverged(trainer, what) from None


def _save_checkpoint(cfg, trainer, epoch_itr, val_loss):
    """checkpoint_utils.save_checkpoint of finite numbers only.

    fairseq would replace checkpoint_last.pt by one from after the divergence, and compare later
    checkpoints with a best loss of NaN, so that a worse one replaces checkpoint_best.pt.

    Raises: SystemExit, with one line, if a parameter or the validation loss is not finite.
    """
    if val_loss is not None and not math.isfinite(val_loss):
        raise _diverged(trainer, f"--best-checkpoint-metric is {val_loss} in validation")
    for name, parameter in trainer.get_model().named_parameters():
        if not parameter.isfinite().all():
            raise _diverged(trainer, f"{name} is no longer finite")
    return _fairseq_save_checkpoint(cfg, trainer, epoch_itr, val_loss)


def _diverged(trainer, what):
    folder = Path(trainer.cfg.checkpoint.save_dir)
    if any(folder.glob(f"checkpoint*{trainer.checkpoint_suffix}.pt")):
        way_out = f"{folder} has the checkpoints from before: go on from there"
    else:
        way_out = f"{folder} has no checkpoint yet: start anew"
    return SystemExit(
        f"training diverged: {what.rstrip('.')}, after update {trainer.get_num_updates()}. "
        f"{way_out} with a lower --lr, a smaller --clip-norm or more --warmup-updates"
    )


_fairseq_train_step = Trainer.train_step
_fairseq_save_checkpoint = checkpoint_utils.save_checkpoint


def apply() -> None:
    Trainer.train_step = _train_step
    checkpoint_utils.save_checkpoint = _save_checkpoint
