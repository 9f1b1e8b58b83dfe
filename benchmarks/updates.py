"""The time and the memory of one update, by fairseq's own trainer."""

import math
import os
import resource
from unittest.mock import patch

import shapes
import torch
import torch.distributed as dist
from clocks import CLOCKS
from fairseq.distributed import utils as distributed
from fairseq.trainer import Trainer
from variants import build

UPDATES = 10  # timed, after one of warm-up


def trainer_of(variant, shape, *flags):
    task = shapes.task(shape)
    cfg, model, criterion = build(variant, shape, task, *flags)
    if cfg.distributed_training.distributed_world_size > 1 and not dist.is_initialized():
        distributed.distributed_init(cfg)
    trainer = Trainer(cfg, task, model, criterion)
    trainer.begin_epoch(1)
    return trainer


def times(shape, variants, *flags, unit="s"):
    """Seconds of each update, by variant, the variants in turn; `unit`: one of CLOCKS.

    Raises: ValueError if the loss of one has not fallen: that was no training.
    """
    clock = CLOCKS[unit]
    trainers = {variant: trainer_of(variant, shape, *flags) for variant in variants}
    sample, seconds = shapes.batch(shape), {variant: [] for variant in variants}
    before = {variant: _loss(trainer, sample) for variant, trainer in trainers.items()}
    for update in range(UPDATES + 1):
        for variant, trainer in trainers.items():
            start = clock()
            trainer.train_step([sample])
            if update > 0:
                seconds[variant].append(clock() - start)
    for variant, trainer in trainers.items():
        loss = _loss(trainer, sample)
        if not (math.isfinite(loss) and loss < before[variant]):
            change = f"{before[variant]:.3f} to {loss:.3f} bits"
            raise ValueError(f"{variant}: its loss has not fallen, {change}: nothing learns there")
    return seconds


def _loss(trainer, sample):
    """What is minimised, in bits per target token, without dropout."""
    return trainer.valid_step(sample)["loss"]


def peak_memory(shape, variant, *flags):
    """Bytes at the peak of an update, for a process of its own.

    Before it comes one of a single sentence, for from then on the optimizer has its state.

    On a GPU: all that is allocated there. On a CPU: the resident set above that of the built model.
    """
    trainer = trainer_of(variant, shape, *flags)
    before = _resident()
    trainer.train_step([shapes.batch(shape._replace(tokens=shapes.SENTENCE))])

    def update():
        trainer.train_step([shapes.batch(shape)])

    if shapes.on_gpu():
        return most_allocated(update)
    update()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def most_allocated(function):
    """Bytes at the peak of what is allocated on the GPU while a function runs.

    fairseq's train_step starts the peak anew before it returns, when all that an update takes has
    been freed again: so that does nothing here.
    """
    torch.cuda.reset_peak_memory_stats()
    with patch.object(torch.cuda, "reset_peak_memory_stats"):
        function()
        return torch.cuda.max_memory_allocated()


def _resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
