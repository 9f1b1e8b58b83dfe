"""Measured rows of decoding as tables, as goals and as a picture."""

import sys
from pathlib import Path
from typing import NamedTuple

from tables import median, read

from selfteach_fairseq import pictures

FULL, HALF, SHALLOW = "6x6", "3x3", "6x2"
FAIRSEQ, INT8 = "fairseq", "CTranslate2 int8"
BATCHES = (1, 64)


class Goal(NamedTuple):
    """How many times as fast one model is in one engine as another in another."""

    text: str
    fast: tuple
    slow: tuple
    batch: int
    least: float
    beam: int = 5


GOALS = (
    Goal("6x2 in int8 / 6x6 in fairseq, batch 64", (SHALLOW, INT8), (FULL, FAIRSEQ), 64, 8.0),
    *(
        Goal(f"6x2 / 6x6, both in int8, batch {n}", (SHALLOW, INT8), (FULL, INT8), n, 1.9)
        for n in BATCHES
    ),
    *(
        Goal(f"3x3 / 6x6, both in fairseq, batch {n}", (HALF, FAIRSEQ), (FULL, FAIRSEQ), n, 1.7)
        for n in BATCHES
    ),
)


def decoding(rows):
    """Sentences a second by (batch, beam), then by (model, engine)."""
    found = {}
    for row in rows:
        if row["measure"] == "decoding":
            search = int(row["batch"]), int(row["beam"])
            precision = "" if row["engine"] == FAIRSEQ else f" {row['precision']}"
            model = row["variant"], row["engine"] + precision
            found.setdefault(search, {})[model] = search[0] / row["median"]
    return found


def goals(rows):
    """Markdown: each goal's bound, and what was measured; on a GPU of fairseq alone."""
    lines = ["| ratio of speeds, beam 5 | goal | measured | |", "|---|---:|---:|---|"]
    speeds = decoding(rows)
    for goal in GOALS:
        found = speeds[goal.batch, goal.beam]
        if goal.fast in found:
            value = round(found[goal.fast] / found[goal.slow], 2)
            verdict = "met" if value >= goal.least else "missed"
            lines.append(f"| {goal.text} | >= {goal.least:.2f} | {value:.2f} | {verdict} |")
    return "\n".join(lines)


def table(rows):
    """Markdown: sentences a second, and the speed relative to the full model's in fairseq."""
    speeds = decoding(rows)
    models, engines = _names(speeds)
    lines = [f"| batch | beam | model | {' | '.join(engines)} |"]
    lines += [f"|---:|---:|---|{'---:|' * len(engines)}"]
    for (batch, beam), found in speeds.items():
        for model in models:
            values = [found[model, engine] for engine in engines]
            cells = [f"{v:.2f} ({v / found[FULL, FAIRSEQ]:.2f})" for v in values]
            lines.append(f"| {batch} | {beam} | {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def updates(rows):
    """Markdown: the time of training each student beside that of plain training."""
    lines = ["| update of 1,024 tokens | time | / plain |", "|---|---:|---:|"]
    for row in (r for r in rows if r["measure"] == "update"):
        ratio = row["median"] / median(rows, measure="update", variant="plain")
        lines.append(f"| {row['variant']} | {row['median']:.3f} {row['unit']} | {ratio:.2f} |")
    return "\n".join(lines)


def plot(rows, path):
    """Bars of the speed relative to the full model's in fairseq, a panel for each search."""
    speeds = decoding(rows)
    models, engines = _names(speeds)
    figure, panels = pictures.new(len(speeds), width=2.9, height=3.4, sharey=True)
    width = 0.8 / len(engines)
    for panel, ((batch, beam), found) in zip(panels, speeds.items(), strict=True):
        for i, engine in enumerate(engines):
            heights = [found[model, engine] / found[FULL, FAIRSEQ] for model in models]
            places = [place + (i - (len(engines) - 1) / 2) * width for place in range(len(models))]
            bars = panel.bar(places, heights, width, label=engine, color=pictures.COLOURS[i])
            panel.bar_label(bars, [f"{h:.1f}" for h in heights], fontsize=7, rotation=90, padding=2)
        panel.set_title(f"batch {batch}, beam {beam}", fontsize=10)
        panel.set_xticks(range(len(models)), models)
        panel.grid(axis="x", visible=False)
        panel.set_axisbelow(True)
        panel.margins(y=0.1)
    panels[0].set_ylabel("speed, 6x6 in fairseq = 1")
    panels[0].legend(loc="upper left", frameon=False)
    pictures.save(figure, path)


def _names(speeds):
    """Models and engines, each once, as they come."""
    return [list(dict.fromkeys(names)) for names in zip(*next(iter(speeds.values())), strict=True)]


def report(path):
    """Draws the picture beside the rows, and returns the tables."""
    rows = read(path)
    plot(rows, path)
    facts = ("hardware", "threads", "torch", "ve-fairseq", "ctranslate2", "date")
    machine = ", ".join(f"{fact} {max(row[fact] for row in rows)}" for fact in facts)
    return "\n\n".join(("", machine, goals(rows), table(rows), updates(rows)))


if __name__ == "__main__":
    print(report(Path(sys.argv[1])))
