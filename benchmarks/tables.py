"""Measured rows as a table of the goals and as plots of the growth."""

import csv
import sys
from pathlib import Path
from typing import NamedTuple

LARGE = "iwslt, large vocabulary"
TWICE = ("plain", "word-level distillation")  # the teacher's run, and the student's


class Goal(NamedTuple):
    """A ratio of one variant to others, added up, and its bound: on a CPU, on a GPU."""

    text: str
    measure: str
    shape: str
    variant: str
    others: tuple
    cpu: float
    gpu: float


HALF, UNFUSED = "student 3x3", "student 3x3, un-fused"
GOALS = (
    Goal("student 3x3 / plain, time", "update", "iwslt", HALF, ("plain",), 1.10, 1.15),
    Goal("the same, memory", "peak memory", "iwslt", HALF, ("plain",), 1.05, 1.00),
    Goal("the same, V = 32k, time", "update", LARGE, HALF, ("plain",), 1.05, 1.10),
    Goal("the same, V = 32k, memory", "peak memory", LARGE, HALF, ("plain",), 0.90, 0.75),
    Goal("fused / un-fused loss, time", "update", "iwslt", HALF, (UNFUSED,), 0.80, 0.85),
    Goal("the same, memory", "peak memory", "iwslt", HALF, (UNFUSED,), 0.75, 0.60),
    Goal("alpha 0 / plain, time", "update", "iwslt", "alpha 0", ("plain",), 0.95, 0.95),
    Goal("one run / teacher's and student's", "update", "iwslt", HALF, TWICE, 0.60, 0.60),
)


def read(path):
    with open(path, newline="") as file:
        return [{**row, "median": float(row["median"])} for row in csv.DictReader(file)]


def median(rows, **wanted):
    (found,) = (r["median"] for r in rows if all(r[key] == wanted[key] for key in wanted))
    return found


def goals(rows):
    """Markdown: each goal's bound, and what was measured."""
    kind = "gpu" if rows[0]["precision"] == "bf16" else "cpu"
    lines = ["| ratio | goal | measured | |", "|---|---:|---:|---|"]
    for goal in GOALS:
        where = {"axis": "cost", "measure": goal.measure, "name": goal.shape}
        others = sum(median(rows, variant=other, **where) for other in goal.others)
        value = round(median(rows, variant=goal.variant, **where) / others, 2)
        bound = getattr(goal, kind)
        verdict = "met" if value <= bound else "missed"
        lines.append(f"| {goal.text} | <= {bound:.2f} | {value:.2f} | {verdict} |")
    return "\n".join(lines)


def costs(rows):
    """Markdown: time and memory of each variant beside those of plain training, by shape."""
    lines = ["| shape | variant | update | / plain | peak memory | / plain |"]
    lines += ["|---|---|---:|---:|---:|---:|"]
    for row in rows:
        if row["axis"] != "cost" or row["measure"] != "update":
            continue
        shape, variant = row["name"], row["variant"]

        def cells(measure, form, shape=shape, variant=variant):
            found, plain = (
                median(rows, axis="cost", measure=measure, name=shape, variant=v)
                for v in (variant, "plain")
            )
            return f"{found:{form}}", f"{found / plain:.2f}"

        time, memory = cells("update", ".3f"), cells("peak memory", ",.0f")
        lines.append(
            f"| {shape} | {variant} | {time[0]} s | {time[1]} | {memory[0]} MB | {memory[1]} |"
        )
    return "\n".join(lines)


# What grows, its column among the rows, and its name below the picture.
AXES = (
    ("tokens", "tokens", "tokens of an update"),
    ("vocabulary", "types", "types of the vocabulary"),
    ("students", None, "students (0: plain training)"),
    ("workers", "workers", "workers, each with 1,024 tokens"),
)


def plot(rows, path):
    """A picture for each axis of growth beside the rows: time on the left, memory on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for axis, column, label in AXES:
        figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        for panel, measure in zip(panels, ("update", "peak memory"), strict=True):
            grown = [r for r in rows if r["axis"] == axis and r["measure"] == measure]
            lines = {"": grown} if column is None else _by_variant(grown)
            for variant, line in lines.items():
                x = [int(row[column]) if column else i for i, row in enumerate(line)]
                panel.plot(x, [row["median"] for row in line], "o-", label=variant)
                panel.set_xticks(x, [f"{tick:,}" for tick in x], rotation=30)
            if column is not None:
                panel.legend(frameon=False)
            panel.set_xlabel(label)
            panel.set_ylabel(f"{measure}, {grown[0]['unit']}")
            panel.set_ylim(bottom=0)
            panel.spines[["top", "right"]].set_visible(False)
        figure.savefig(path.with_name(f"{path.stem}-{axis}.png"), dpi=110)
        pyplot.close(figure)


def _by_variant(rows):
    variants = dict.fromkeys(row["variant"] for row in rows)
    return {variant: [r for r in rows if r["variant"] == variant] for variant in variants}


def report(path):
    """Draws the plots beside the rows, and returns the tables."""
    rows, path = read(path), Path(path)
    plot(rows, path)
    first = rows[0]
    machine = f"{first['hardware']}, {first['precision']}, torch {first['torch']}, {first['date']}"
    return f"\n{machine}\n\n{goals(rows)}\n\n{costs(rows)}"


if __name__ == "__main__":
    print(report(sys.argv[1]))
