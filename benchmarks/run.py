"""Measures time, memory and decoding, and writes a row for each: `make bench`.

Every measurement has processes of its own; variants that are compared by time take turns in one.
"""

import argparse
import csv
import datetime
import importlib.metadata
import logging
import multiprocessing
import os
import platform
import socket
import statistics
from functools import partial
from pathlib import Path

import decoding
import shapes
import speeds
import tables
import torch
import updates
from clocks import unit_of_one_thread
from shapes import Shape

from selfteach_fairseq.evaluation.score import hardware

COMPARED = (
    *("plain", "alpha 0", "student 3x3", "student last3x3", "student 0+2+4x0+2+4", "student 6x3"),
    *("4 students", "4 students, 1 drawn", "student 3x3, un-fused", "word-level distillation"),
)
IN_SHORT = ("plain", "student 3x3", "student 3x3, un-fused")
GROWN = ("plain", "student 3x3")
DECODED = ("plain", *(f"student {layers}" for layers in decoding.MODELS[1:]))


class Bench:
    """Measures, prints what it finds, and keeps a row of it in a CSV."""

    def __init__(self, path, threads):
        self.path, self.threads = path, threads
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self.machine = {
            "hardware": hardware().removesuffix(f", {torch.get_num_threads()} threads"),
            "precision": "bf16" if shapes.on_gpu() else "fp32",
            **{p: importlib.metadata.version(p) for p in ("torch", "ve-fairseq")},
            "ctranslate2": "",  # where it was used
            "python": platform.python_version(),
            "date": datetime.date.today().isoformat(),
        }

    def time(self, axis, shape, variants, workers=1, threads=None, unit="s"):
        measure, threads = partial(updates.times, unit=unit), threads or self.threads
        seconds = in_processes(measure, (shape, variants), threads, workers)
        for variant, values in seconds.items():
            self.write(axis, "update", variant, shape, workers, unit, values, threads=threads)

    def memory(self, axis, shape, variants, workers=1, threads=None):
        threads = threads or self.threads
        for variant in variants:
            peak = in_processes(updates.peak_memory, (shape, variant), threads, workers) / 1e6
            self.write(axis, "peak memory", variant, shape, workers, "MB", [peak], threads=threads)

    def decoding(self, shape, sentences, beam):
        seconds = in_processes(decoding.times, (shape, sentences, beam), self.threads)
        unit, searched = unit_of_one_thread(), shape._replace(tokens=sentences * decoding.LENGTH)
        for (model, engine, precision), values in seconds.items():
            more = {"engine": engine, "batch": sentences, "beam": beam, "precision": precision}
            if engine == "CTranslate2":
                more["ctranslate2"] = importlib.metadata.version("ctranslate2")
            self.write("decoding", "decoding", model, searched, 1, unit, values, **more)

    def write(self, axis, measure, variant, shape, workers, unit, values, **more):
        """A row; `more`: what differs from training by all threads in the usual precision."""
        median = statistics.median(values)
        row = {
            **{"axis": axis, "measure": measure, "variant": variant, **shape._asdict()},
            **{"workers": workers, "unit": unit, "median": f"{median:.4g}"},
            **{"min": f"{min(values):.4g}", "max": f"{max(values):.4g}", "count": len(values)},
            **{"engine": "fairseq", "batch": "", "beam": "", "threads": self.threads},
            **self.machine,
            **more,
        }
        is_first = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if is_first:
                writer.writeheader()
            writer.writerow(row)
        where = f"{shape.name}, {shape.tokens:,} tokens, V = {shape.types:,}, workers {workers}"
        where = ", ".join((where, *(f"{name} {value}" for name, value in more.items())))
        print(f"{measure:11}  {variant:30} {median:9.3f} {unit:2}  {where}", flush=True)


def in_processes(measure, arguments, threads, workers=1):
    """What the first of so many fresh processes returns."""
    gpu = shapes.on_gpu()
    context = multiprocessing.get_context("spawn" if gpu else "forkserver")
    context.set_forkserver_preload(["updates", "decoding"])
    port = _free_port()
    flags = [
        (
            *("--distributed-world-size", workers, "--distributed-rank", rank),
            *("--distributed-init-method", f"tcp://localhost:{port}", "--device-id", rank),
            *("--distributed-backend", "nccl" if gpu else "gloo"),
            *("--ddp-backend", "pytorch_ddp" if gpu else "legacy_ddp"),
        )
        for rank in range(workers)
    ]
    with context.Pool(workers) as pool:
        jobs = [(measure, arguments, words, threads) for words in flags]
        return pool.starmap(_in_process, jobs, chunksize=1)[0]


def _in_process(measure, arguments, flags, threads):
    torch.set_num_threads(threads)
    if shapes.on_gpu():
        torch.cuda.set_device(flags[flags.index("--device-id") + 1])
    return measure(*arguments, *(flags if measure is not decoding.times else ()))


def _free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def measure_training(bench, tokens):
    iwslt = Shape("iwslt", 512, 1024, 10_000, tokens)
    large = Shape("iwslt, large vocabulary", 512, 1024, 32_000, tokens)
    tiny = Shape("tiny", 128, 256, 10_000, tokens)
    for shape, variants in ((iwslt, COMPARED), (large, IN_SHORT), (tiny, COMPARED)):
        bench.time("cost", shape, variants)
        # Of an update's usual size: what logits take does not show with fewer tokens.
        bench.memory("cost", shape._replace(tokens=4096), variants)

    base = tiny._replace(tokens=1024)
    growth = [("tokens", base._replace(tokens=2**n), GROWN) for n in (10, 12, 14)]
    growth += [("vocabulary", base._replace(types=2**n), GROWN) for n in range(13, 17)]
    several = [f"{n} students of depth 5 and less" for n in range(1, 6)]
    growth += [("students", base, ["plain", *several])]
    for axis, shape, variants in growth:
        bench.time(axis, shape, variants)
        bench.memory(axis, shape, variants)
    for workers in (1, 2):
        if not shapes.on_gpu() or workers <= torch.cuda.device_count():
            bench.time("workers", base, GROWN, workers, threads=1)
            bench.memory("workers", base, GROWN, workers, threads=1)


def measure_decoding(bench, tokens):
    shape = Shape("iwslt", 512, 1024, 10_000, tokens)
    for sentences in speeds.BATCHES:
        for beam in (1, 5):
            bench.decoding(shape, sentences, beam)
    bench.time("cost", shape, DECODED, unit=unit_of_one_thread())


def main():
    gpu = shapes.on_gpu()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("work/bench"), help="folder for the rows")
    parser.add_argument(
        "--only",
        choices=("training", "decoding"),
        help="training: time and memory of updates, and how they grow; decoding: speed in fairseq "
        "and CTranslate2, and the time of updates with those students, by one thread",
    )
    parser.add_argument(
        "--tokens",
        type=int,
        default=4096 if gpu else 1024,
        help="of an update where times are compared (default: %(default)s)",
    )
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # fairseq sets the root logger to its most talkative
    name = "gpu" if gpu else "cpu"
    # The fork server looks there, and not at sys.path, for what it loads beforehand.
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    if arguments.only != "decoding":
        threads = torch.get_num_threads() if gpu else os.cpu_count()
        bench = Bench(arguments.out / f"{name}.csv", threads)
        measure_training(bench, arguments.tokens)
        print(tables.report(bench.path))
    if arguments.only != "training":
        bench = Bench(arguments.out / f"{name}-decoding.csv", threads=1)
        measure_decoding(bench, arguments.tokens)
        print(speeds.report(bench.path))


if __name__ == "__main__":
    main()
