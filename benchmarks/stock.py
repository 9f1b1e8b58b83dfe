"""What an update costs against stock fairseq's, by real fairseq-train commands on real text.

    TYPES=10000 WORK=work/types-10000 recipes/run.sh multi30k-de prepare
    TYPES=3000 WORK=work/types-3000 recipes/run.sh multi30k-de prepare
    python benchmarks/stock.py work/types-10000/data work/types-3000/data

Every measurement is a process of its own, and a round has one of every variant. All read the same
batches in the same order, under the same environment. With fewer threads than processors rounds
run beside each other. A row is kept as soon as it is there: a second call goes on. On a GPU it
trains in bf16.
"""

import argparse
import csv
import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from fairseq.data import Dictionary
from training import ALLOCATOR, ON_GPU, ROOT, train

from selfteach_fairseq.evaluation.score import hardware

ROUNDS = 7

_STOCK = ("--arch", "transformer", "--criterion", "label_smoothed_cross_entropy")
_STOCK += ("--optimizer", "adam")
_OURS = ("--user-dir", ROOT / "selfteach_fairseq", "--arch", "transformer_selfteach")
_OURS += ("--optimizer", "adam_fused")
_PLAIN = ("--criterion", "label_smoothed_cross_entropy")
_TAUGHT = ("--criterion", "label_smoothed_ce_selfteach", "--student-layers")
_WORD_LEVEL = ("--user-dir", ROOT / "selfteach_fairseq", "--arch", "transformer")
_WORD_LEVEL += ("--optimizer", "adam", "--criterion", "word_level_distillation")
_WORD_LEVEL += ("--teacher", "{teacher}", "--encoder-layers", 6, "--decoder-layers")
_THREE = "6x3,6x2,6x1"
_SHARED = ("--student-dropout", "shared")
UNTUNED = "stock, glibc's own allocator"

VARIANTS = {
    "stock": _STOCK,
    UNTUNED: _STOCK,
    "no student": (*_OURS, *_PLAIN),
    "no student, --stock-update": (*_OURS, *_PLAIN, "--stock-update"),
    "6x3": (*_OURS, *_TAUGHT, "6x3"),
    "3x3": (*_OURS, *_TAUGHT, "3x3"),
    "3x3, --stock-update": (*_OURS, *_TAUGHT, "3x3", "--stock-update"),
    _THREE: (*_OURS, *_TAUGHT, _THREE),
    **{f"{s}, shared dropout": (*_OURS, *_TAUGHT, s, *_SHARED) for s in ("6x3", "3x3", _THREE)},
    f"{_THREE}, a teacher of 6x6": (*_OURS, *_TAUGHT, _THREE, "--teacher", "{teacher}"),
    **{f"word-level 6x{n}": (*_WORD_LEVEL, n) for n in (3, 2, 1)},
}

# Of all shapes but the first one.
IN_SHORT = ("stock", "no student", "6x3", "3x3", _THREE)

# Trainings of 6x6, 6x3, 6x2 and 6x1, against stock 6x6 and then a word-level student of each.
SINGLY = ("stock", *(f"word-level 6x{n}" for n in (3, 2, 1)))
AT_ONCE = {
    "stock 6x6, then the three of it at once": ("stock", f"{_THREE}, a teacher of 6x6"),
    "all four at once": (_THREE,),
}


MEASURES = {"seconds": "time", "MB": "peak memory"}


class Shape(NamedTuple):
    """A pre-norm Transformer of 6+6 layers, whose FFN is twice as wide, and an update's tokens."""

    types: int
    width: int
    tokens: int

    def flags(self):
        return (
            *("--encoder-embed-dim", self.width, "--encoder-ffn-embed-dim", 2 * self.width),
            *("--decoder-embed-dim", self.width, "--decoder-ffn-embed-dim", 2 * self.width),
            *("--encoder-attention-heads", 4, "--decoder-attention-heads", 4),
            *("--encoder-normalize-before", "--decoder-normalize-before"),
            *("--share-all-embeddings", "--max-tokens", self.tokens),
        )


SHAPES = [Shape(t, w, n) for t, w in ((10_000, 256), (3_000, 128)) for n in (4080, 1000)]


class Rows:
    """What was measured, in a CSV."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.found = read(path) if path.exists() else []
        self.of = {
            "code": _code(),
            "hardware": hardware().partition(",")[0],
            **{package: importlib.metadata.version(package) for package in ("torch", "ve-fairseq")},
            "python": platform.python_version(),
        }
        if not all(self.of.items() <= row.items() for row in self.found):
            raise SystemExit(f"{path} has rows of other code or of another machine: move it away")

    def has(self, **wanted: object) -> bool:
        wanted = {name: str(value) for name, value in wanted.items()}
        return any(wanted.items() <= row.items() for row in self.found)

    def add(self, **row: object) -> None:
        row = {**row, **self.of, "date": datetime.date.today().isoformat()}
        with self.lock, self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


def _code():
    """git's name for the package as it is committed."""
    command = ["git", "-C", ROOT, "rev-parse", "HEAD:selfteach_fairseq"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def types_of(data: Path) -> int:
    """The size of a data folder's vocabulary."""
    return len(Dictionary.load(str(min(data.glob("dict.*.txt")))))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def measure(
    rows: Rows, data: Path, shape: Shape, processors: Sequence[int], numbers: Sequence[int]
) -> None:
    """Rounds of these numbers, one after the other, on these processors alone."""
    os.sched_setaffinity(0, processors)  # of this thread, and of what it starts
    for number in numbers:
        measure_round(rows, data, shape, len(processors), number)


def measure_round(rows: Rows, data: Path, shape: Shape, threads: int, number: int) -> None:
    """A round of a shape's variants."""
    row = {**shape._asdict(), "threads": threads, "round": number}
    variants = tuple(VARIANTS) if shape == SHAPES[0] else IN_SHORT
    # Each round begins with another one, for a machine may be slower now than a minute ago.
    first = number % len(variants)
    variants = variants[first:] + variants[:first]
    missing = [variant for variant in variants if not rows.has(**row, variant=variant)]
    with tempfile.TemporaryDirectory() as folder:
        teacher = Path(folder, "checkpoint_last.pt")
        if any("{teacher}" in VARIANTS[variant] for variant in missing):
            flags = (*shape.flags(), *_STOCK, "--save-dir", folder, "--max-update", 1)
            train(data, flags, threads)
        for variant in missing:
            words = [str(word).replace("{teacher}", str(teacher)) for word in VARIANTS[variant]]
            environment = {} if variant == UNTUNED else ALLOCATOR
            flags = (*shape.flags(), *words, "--no-save")
            found = train(data, flags, threads, **environment)
            rows.add(**row, variant=variant, **found)
            where = f"V = {shape.types:,}, {shape.tokens:,} tokens, threads {threads}"
            print(f"{found['seconds']:>8} s  {found['MB']:>5} MB  {variant:40} {where}", flush=True)


def ratios(rows: list[dict[str, str]], column: str, **where: object) -> dict[str, list[float]]:
    """By variant, the ratios to stock fairseq of each round; of AT_ONCE those to SINGLY."""
    chosen = {name: str(value) for name, value in where.items()}
    rounds: dict[str, dict[str, float]] = {}
    for row in rows:
        if chosen.items() <= row.items():
            rounds.setdefault(row["round"], {})[row["variant"]] = float(row[column])
    compared = {variant: ((variant,), ("stock",)) for variant in VARIANTS}
    compared |= {name: (variants, SINGLY) for name, variants in AT_ONCE.items()}
    found: dict[str, list[float]] = {name: [] for name in compared}
    for measured in rounds.values():
        for name, sides in compared.items():
            if all(measured.keys() >= {*side} for side in sides):
                ours, others = (sum(measured[variant] for variant in side) for side in sides)
                found[name].append(ours / others)
    return {name: values for name, values in found.items() if values}


def report(rows: list[dict[str, str]]) -> str:
    """The medians of the ratios to stock fairseq, and in brackets their extremes.

    A table of all that was measured of a shape with every variant, then one of each measure with
    the variants of all shapes, a line for each.
    """
    found = {tuple(int(row[name]) for name in (*Shape._fields, "threads")) for row in rows}
    columns = {
        (Shape(*shape), threads, measure): ratios(
            rows, measure, **Shape(*shape)._asdict(), threads=threads
        )
        for *shape, threads in sorted(found, reverse=True)
        for measure in MEASURES
    }
    whole = {key: column for key, column in columns.items() if column.keys() - {*IN_SHORT}}
    tables = [_of_whole_rounds(whole)] if whole else []
    return "\n\n".join([*tables, *(_in_short(columns, measure) for measure in MEASURES)])


def _of_whole_rounds(columns):
    heads = [f"{_shape(shape)}, {_count(n)}: {MEASURES[m]}" for shape, n, m in columns]
    lines = [f"| / stock | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for variant in (*VARIANTS, *AT_ONCE):
        cells = [
            _cell(column.get(variant) if variant in VARIANTS or measure == "seconds" else None)
            for (*_, measure), column in columns.items()
        ]
        if variant != IN_SHORT[0] and any(cells):
            lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _in_short(columns, measure):
    shown = IN_SHORT[1:]
    lines = [
        f"| {MEASURES[measure]}, / stock | {' | '.join(shown)} |",
        "|---|" + "---:|" * len(shown),
    ]
    for (shape, threads, of), column in columns.items():
        if of == measure:
            cells = " | ".join(_cell(column.get(variant)) for variant in shown)
            lines.append(f"| {_shape(shape)}, {_count(threads)} | {cells} |")
    return "\n".join(lines)


def _shape(shape):
    return f"{shape.width} wide, {shape.tokens:,} tokens"


def _count(threads):
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _cell(values):
    if not values:
        return ""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="+", help="folders of fairseq-preprocess")
    parser.add_argument("--out", type=Path, default=Path("work/bench/stock.csv"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--width", type=int, help="of a model for any data (default: those above)")
    parser.add_argument("--tokens", type=int, default=4096, help="of its updates")
    arguments = parser.parse_args()
    folders = {types_of(folder): folder for folder in arguments.data}
    shapes = SHAPES
    if arguments.width:
        shapes = [Shape(types, arguments.width, arguments.tokens) for types in folders]
    wanted = {shape.types for shape in shapes}
    if not folders.keys() <= wanted:
        found = ", ".join(f"{folder} has {types}" for types, folder in folders.items())
        raise SystemExit(f"what is measured has {wanted} types, and {found}: see stock.py's head")
    rows = Rows(arguments.out)
    processors = sorted(os.sched_getaffinity(0))
    for threads in (len(processors),) if ON_GPU else (2, 1):
        if threads > len(processors):
            continue
        starts = range(0, len(processors) - threads + 1, threads)
        lanes = [processors[start : start + threads] for start in starts]
        for shape in shapes:
            if shape.types in folders:
                share_out(rows, folders[shape.types], shape, lanes, arguments.rounds)
    print(report(read(arguments.out)))


def share_out(
    rows: Rows, data: Path, shape: Shape, lanes: Sequence[Sequence[int]], rounds: int
) -> None:
    """So many rounds, divided among lanes of processors."""
    with ThreadPoolExecutor(len(lanes)) as pool:
        jobs = [
            pool.submit(measure, rows, data, shape, lane, range(first, rounds, len(lanes)))
            for first, lane in enumerate(lanes)
        ]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
