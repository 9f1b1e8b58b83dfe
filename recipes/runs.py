#!/usr/bin/env python3
"""The runs that a corpus' settings ask for, a line each: recipes/runs.py CORPUS

    recipes/runs.py CORPUS [COLUMN...]         a line a training
    recipes/runs.py CORPUS --cuts [COLUMN...]  a line a model that is cut out of one
    recipes/runs.py CORPUS --scores [COLUMN...]  a line an engine that translates with one

Columns have a | between; without a choice of columns the first line names them all. Several words
in a column have spaces between. Folders and checkpoints are in WORK. If anything is wrong with the
settings, all of it is said instead.
"""

import sys

from check import refuse_faults
from plan import runs_of
from settings import SettingsError, read


def main(corpus: str, *words: str) -> None:
    settings = read(corpus)
    refuse_faults(settings)
    runs = runs_of(settings)
    rows = [run.columns() for run in runs]
    if words[:1] == ("--cuts",):
        rows, words = [cut.columns() for run in runs for cut in run.cuts], words[1:]
    elif words[:1] == ("--scores",):
        scores = [score for run in runs for cut in run.cuts for score in cut.scores]
        rows, words = [score.columns() for score in scores], words[1:]
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
