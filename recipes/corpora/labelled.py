"""Divide a table of labels and texts into train, valid and test.

    python recipes/corpora/labelled.py --train table.tsv --out DIR
    python recipes/corpora/labelled.py --train t.tsv --valid v.tsv --test e.tsv --out DIR

A line is label TAB text, or label TAB text TAB text: plain, .gz, .xz or .bz2. It writes
DIR/{train,valid,test}.{label,input0[,input1]}, as fairseq's task of classes names them. Splits that
are not given are taken out of the training text, by the text alone, so every run writes the same.
"""

import argparse
import hashlib
from collections import Counter
from pathlib import Path

from text import CorpusError, complain, read_lines, tidy_line, write

NAMES = ("label", "input0", "input1")
SALT = "selfteach labelled split 1:"
HELD_OUT = 1000  # about so many to valid, and to test
LEAST_TRAIN_SHARE = 10  # at most one in so many to each

Row = tuple[str, ...]  # a label, and one text or two


def read_rows(path: Path) -> list[Row]:
    """Raises: CorpusError, with the line, for what is no label with a text or two."""
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        row = tuple(map(tidy_line, line.split("\t")))
        if not 1 < len(row) <= len(NAMES):
            raise CorpusError(f"{path}, line {number}: {len(row) - 1} tabs, expected one or two")
        check_row(row, f"{path}, line {number}")
        rows.append(row)
    if not rows:
        raise CorpusError(f"{path}: is empty")
    if {*map(len, rows)} - {len(rows[0])}:
        raise CorpusError(f"{path}: some lines have one text and some two")
    return rows


def check_row(row: Row, where: str) -> None:
    """Raises: CorpusError if a part is empty, or the label more than a word."""
    if not all(row):
        raise CorpusError(f"{where}: has an empty {'label' if not row[0] else 'text'}")
    if " " in row[0]:
        raise CorpusError(f"{where}: the label '{row[0]}' has a space: write _ instead")


def unique(rows: list[Row]) -> list[Row]:
    """Each text once: of several labels it has the most frequent one, then the first."""
    labels: dict[Row, Counter[str]] = {}
    for label, *texts in rows:
        labels.setdefault(tuple(texts), Counter())[label] += 1
    return [(counts.most_common(1)[0][0], *texts) for texts, counts in labels.items()]


def split(rows: list[Row], held_out: int, names: tuple[str, ...]) -> dict[str, list[Row]]:
    """Train and the named splits, of about held_out rows each; texts that differ in case alone
    go to the same."""
    one_in = max(LEAST_TRAIN_SHARE, round(len(rows) / held_out))
    splits: dict[str, list[Row]] = {name: [] for name in ("train", *names)}
    for row in rows:
        number = int(hashlib.sha256(f"{SALT}{key_of(row)}".encode()).hexdigest(), 16) % one_in
        splits[names[number] if number < len(names) else "train"].append(row)
    return splits


def key_of(row: Row) -> str:
    """Of its texts, the same if they differ in case alone."""
    return "\t".join(row[1:]).casefold()


def check_labels(splits: dict[str, list[Row]]) -> list[str]:
    """The labels in training text. Raises: CorpusError for one only, or others elsewhere."""
    known = sorted({row[0] for row in splits["train"]})
    if len(known) == 1:
        raise CorpusError(f"the training text has one label only, {known[0]}")
    for name, rows in splits.items():
        for number, row in enumerate(rows, start=1):
            if row[0] not in known:
                raise CorpusError(
                    f"{name}, line {number}: the label {row[0]} is none of the training text's: "
                    "leave it out"
                )
    return known


def write_all(splits: dict[str, list[Row]], out: Path) -> None:
    """Checks and writes them, and says what they are. Raises: CorpusError, see above."""
    widths = {len(row) for rows in splits.values() for row in rows}
    if len(widths) > 1:
        raise CorpusError("some splits have one text and some two")
    labels = check_labels(splits)
    write(splits, NAMES[: widths.pop()], out)
    for name, rows in splits.items():
        words = sum(len(text.split()) for _, *texts in rows for text in texts) / len(rows)
        print(f"{name:16}{len(rows):>9,}  mean words: {words:.1f}")
    print(f"{len(labels)} labels: {', '.join(labels[:20])}{' ...' if len(labels) > 20 else ''}")


@complain
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--train", type=Path, metavar="FILE", required=True)
    for name in ("valid", "test"):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="rows to valid and to test")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    args = parser.parse_args(argv)
    if args.held_out < 1:
        parser.error(f"--held-out {args.held_out}: must be 1 or more")
    given = {name: read_rows(path) for name in ("valid", "test") if (path := getattr(args, name))}
    read = read_rows(args.train)
    rows = unique(read)
    print(f"{'read':16}{len(read):>9,}\n{'unique':16}{len(rows):>9,}")
    held_out = {name: {*map(key_of, several)} for name, several in given.items()}
    rows = [row for row in rows if not any(key_of(row) in keys for keys in held_out.values())]
    if len(held_out) == 2:
        print(f"{len(held_out['valid'] & held_out['test']):,} test texts are in validation text")
    wanted = tuple(name for name in ("valid", "test") if name not in given)
    splits = split(rows, args.held_out, wanted) | given
    write_all({name: splits[name] for name in ("train", "valid", "test")}, args.out)


if __name__ == "__main__":
    raise SystemExit(main())
