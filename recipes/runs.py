#!/usr/bin/env python3
"""The runs that a corpus' settings ask for, a line each: recipes/runs.py CORPUS

    recipes/runs.py CORPUS [COLUMN...]         a line a training
    recipes/runs.py CORPUS --cuts [COLUMN...]  a line a model that is cut out of one
    recipes/runs.py CORPUS --refinements [COLUMN...]  a line a training that goes on from one
    recipes/runs.py CORPUS --scores [COLUMN...]  a line an engine that translates with any

Columns have a | between; without a choice of columns the first line names them all. Several words
in a column have spaces between. Folders and checkpoints are in WORK. If anything is wrong with the
settings, all of it is said instead.
"""

import sys

from check import refuse_faults
from plan import runs_of
from refinements import refinements_of
from settings import SettingsError, read


def main(corpus: str, *words: str) -> None:
    settings = read(corpus)
    refuse_faults(settings)
    runs = runs_of(settings)
    cuts, refined = [cut for run in runs for cut in run.cuts], refinements_of(settings)
    kinds = {
        "--cuts": cuts,
        "--refinements": refined,
        "--scores": [score for one in (*cuts, *refined) for score in one.scores],
    }
    chosen = kinds.get(words[0]) if words else None
    if chosen is not None:
        words = words[1:]
    rows = [row.columns() for row in (runs if chosen is None else chosen)]
    if not rows:
        return
    names = words or tuple(rows[0])
    unknown = set(names) - set(rows[0])
    if unknown:
        raise SettingsError(f"runs.py: {min(unknown)} is no column: choose {', '.join(rows[0])}")
    if not words:
        print(*names, sep="|")
    for row in rows:
        print(*(row[name] for name in names), sep="|")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except SettingsError as error:
        raise SystemExit(str(error)) from None
