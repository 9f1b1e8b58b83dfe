"""Where an update's time goes: the shares of torch's operators, on a CPU and on real text.

    python benchmarks/profiles.py work/types-10000/data --width 256 --threads 1

Its folders are those of stock.py.
"""

import argparse
import collections
import logging
import multiprocessing
import os
from itertools import islice
from pathlib import Path

import stock
import torch
import training
from fairseq import options, tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.trainer import Trainer
from torch.profiler import ProfilerActivity, profile

SHOWN = ("stock", "no student", "6x3", "3x3")
LEAST = 0.01  # share of an update's time; what has less everywhere is summed up
_PRODUCTS = ("mm", "addmm", "addmm_", "bmm", "baddbmm")


def shares(data: Path, flags: tuple, threads: int) -> dict[str, float]:
    """By operator, its share of an update's time; for a process of its own.

    Matrix products are one row, for which of them is called is a matter of how.
    """
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    trainer, batches = _training(data, flags)
    for batch in batches[: training.WARM_UP]:
        trainer.train_step([batch])
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for batch in batches[training.WARM_UP :]:
            trainer.train_step([batch])
    spent = collections.Counter()
    for event in profiled.key_averages():
        name = event.key.removeprefix("aten::")
        spent["matrix products" if name in _PRODUCTS else name] += event.self_cpu_time_total
    total = spent.total()
    return {name: time / total for name, time in spent.items()}


def _training(data, flags):
    """A trainer and its first batches."""
    words = [str(word) for word in (data, *training.FLAGS, *flags, "--no-save")]
    parser = options.get_training_parser()
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, input_args=words))
    utils.import_user_module(cfg.common)
    torch.manual_seed(cfg.common.seed)
    task = tasks.setup_task(cfg.task)
    model, criterion = task.build_model(cfg.model), task.build_criterion(cfg.criterion)
    task.load_dataset("train")
    trainer = Trainer(cfg, task, model, criterion)
    batches = trainer.get_train_iterator(epoch=1).next_epoch_itr()
    trainer.begin_epoch(1)
    return trainer, [*islice(batches, training.WARM_UP + training.UPDATES)]


def table(found: dict[str, dict[str, float]]) -> str:
    """A line for each operator, in percent."""
    names = {name for spent in found.values() for name in spent}
    most = {name: max(spent.get(name, 0) for spent in found.values()) for name in names}
    shown = sorted((name for name in names if most[name] >= LEAST), key=lambda n: -most[n])
    lines = [f"| % of an update | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    for name in shown:
        cells = " | ".join(f"{100 * spent.get(name, 0):.1f}" for spent in found.values())
        lines.append(f"| {name} | {cells} |")
    rest = (1 - sum(spent.get(name, 0) for name in shown) for spent in found.values())
    return "\n".join([*lines, f"| others | {' | '.join(f'{100 * r:.1f}' for r in rest)} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="a folder of fairseq-preprocess")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=4080)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    shape = stock.Shape(0, arguments.width, arguments.tokens)
    os.environ.update(training.ALLOCATOR)
    found = {}
    for variant in SHOWN:
        flags = (*shape.flags(), *stock.VARIANTS[variant])
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[variant] = pool.apply(shares, (arguments.data, flags, arguments.threads))
    print(table(found))


if __name__ == "__main__":
    main()
