"""Clean any parallel text and divide it into train, valid and test.

    python recipes/corpora/bitext.py de en --train train.de train.en --out DIR
    python recipes/corpora/bitext.py de en --train both.tsv --valid v.de v.en --out DIR

writes DIR/{train,valid,test}.{de,en}, UTF-8, one sentence per line. Files are plain, .gz, .xz or
.bz2: two of the same number of lines, or one with both sides parted by a tab. Splits that are not
given are taken out of the training text, by the text alone, so every run writes the same.
"""

import argparse
import hashlib
from pathlib import Path

from text import CorpusError, Pair, complain, read_lines, summary, tidy_line, write

MAX_WORDS = 100  # of a side, parted by white space
MAX_CHARACTERS = 1000  # of a side, for scripts without white space
SALT = "selfteach demo split 1:"
HELD_OUT = 1000  # about so many pairs to valid, and to test
LEAST_TRAIN_SHARE = 10  # at most one in so many pairs to each
MAX_HELD_OUT_GROUP = 20  # pairs; larger groups of linked pairs always go to train


def read_pairs(paths: list[Path]) -> list[Pair]:
    """The pairs of two files, or of one with tabs.

    Raises: CorpusError, with the line, where the sides differ.
    """
    if len(paths) == 1:
        pairs = [tuple(line.split("\t")) for line in read_lines(paths[0])]
        for number, pair in enumerate(pairs, start=1):
            if len(pair) != 2:
                raise CorpusError(f"{paths[0]}, line {number}: {len(pair) - 1} tabs, expected one")
        return pairs
    sides = [read_lines(path) for path in paths]
    if len(sides[0]) != len(sides[1]):
        counts = (f"{path} has {len(side):,}" for path, side in zip(paths, sides, strict=True))
        raise CorpusError(f"the sides differ in length: {' lines, '.join(counts)} lines")
    return list(zip(*sides, strict=True))


def tidy(pairs: list[Pair]) -> list[Pair]:
    return [(tidy_line(source), tidy_line(target)) for source, target in pairs]


def clean(pairs: list[Pair], summaries: bool = False) -> tuple[list[Pair], dict[str, int]]:
    """The usable pairs of tidy ones, and the number of pairs after each step.

    Args:
        summaries: the sides are documents and their summaries, of any length
    """
    full = [(a, b) for a, b in pairs if a and b]
    translated = [(a, b) for a, b in full if a != b]
    steps = {"read": pairs, "not empty": full, "translated": translated}
    if summaries:
        unique = list(dict.fromkeys(translated))
        steps = {"read": pairs, "not empty": full, "summarised": translated, "unique": unique}
        return unique, {name: len(step) for name, step in steps.items()}
    short = [(a, b) for a, b in translated if max(len(a.split()), len(b.split())) <= MAX_WORDS]
    short = [(a, b) for a, b in short if max(len(a), len(b)) <= MAX_CHARACTERS]
    # In characters; the slack spares labels such as "Up".
    similar = [(a, b) for a, b in short if max(len(a), len(b)) <= 4 * min(len(a), len(b)) + 20]
    unique = list(dict.fromkeys(similar))
    steps |= {f"<= {MAX_WORDS} words": short, "similar lengths": similar, "unique": unique}
    return unique, {name: len(step) for name, step in steps.items()}


def held_out_pairs(paths: list[Path]) -> list[Pair]:
    """The pairs of validation or test text, as they are. Raises: CorpusError if all are empty."""
    pairs = tidy(read_pairs(paths))
    if not any(a and b for a, b in pairs):
        raise CorpusError(f"{paths[0]}: has no pair of sentences: leave it out, or name another")
    return pairs


def _key(text: str) -> str:
    """What two sides must share to count as the same: everything but case and white space."""
    return " ".join(text.split()).casefold()


def _keys(pair: Pair) -> tuple[str, str]:
    return "source " + _key(pair[0]), "target " + _key(pair[1])


def split(
    pairs: list[Pair], held_out: int = HELD_OUT, names: tuple[str, ...] = ("valid", "test")
) -> dict[str, list[Pair]]:
    """Divide pairs into train and the named splits, of about held_out pairs each.

    Pairs linked by a side that is the same but for case form a group, and a group is never
    divided: no side stands in two splits. A hash of its smallest target places a group, so the
    others stay where they are when some pairs come or go.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]  # halves the way for the next
        return node

    for pair in pairs:
        source, target = _keys(pair)
        parent[root(source)] = root(target)
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(root(_keys(pair)[1]), []).append(pair)
    one_in = max(LEAST_TRAIN_SHARE, round(len(pairs) / held_out))
    splits: dict[str, list[Pair]] = {name: [] for name in ("train", *names)}
    for group in groups.values():
        smallest = min(_key(b) for _, b in group)
        number = int(hashlib.sha256((SALT + smallest).encode()).hexdigest(), 16) % one_in
        small = len(group) <= MAX_HELD_OUT_GROUP
        splits[names[number] if small and number < len(names) else "train"] += group
    return splits


def without(pairs: list[Pair], held_out: list[Pair]) -> list[Pair]:
    """Pairs that share no side with those held out."""
    taken = {key for pair in held_out for key in _keys(pair)}
    return [pair for pair in pairs if taken.isdisjoint(_keys(pair))]


@complain
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("languages", nargs=2, metavar="LANGUAGE", help="codes, such as: de en")
    for name in ("train", "valid", "test"):
        parser.add_argument(
            f"--{name}",
            nargs="+",
            type=Path,
            metavar="FILE",
            help="source and target file, or one with tabs",
        )
    parser.add_argument(
        "--summaries", action="store_true", help="of documents: sides of any length"
    )
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="pairs to valid and to test")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    args = parser.parse_args(argv)
    for name in ("train", "valid", "test"):
        files = getattr(args, name) or ()
        if (name == "train" and not files) or len(files) > 2:
            parser.error(f"--{name}: name two files, source and target, or one with tabs")
    if args.held_out < 1:
        parser.error(f"--held-out {args.held_out}: must be 1 or more")
    if args.languages[0] == args.languages[1]:
        parser.error("the two languages must have different codes")

    paths = {name: getattr(args, name) for name in ("valid", "test") if getattr(args, name)}
    given = {name: held_out_pairs(files) for name, files in paths.items()}
    if len(given) == 2:
        shared = len(given["test"]) - len(without(given["test"], given["valid"]))
        print(f"{shared:,} test pairs share a side with validation text")
    kept, counts = clean(tidy(read_pairs(args.train)), args.summaries)
    if given:
        kept = without(kept, [pair for pairs in given.values() for pair in pairs])
        counts["not held out"] = len(kept)
    wanted = tuple(name for name in ("valid", "test") if name not in given)
    splits = split(kept, args.held_out, wanted) | given
    splits = {name: splits[name] for name in ("train", "valid", "test")}
    write(splits, tuple(args.languages), args.out)
    for name, count in counts.items():
        print(f"{name:16}{count:>9,}")
    summary(splits, args.languages)


if __name__ == "__main__":
    raise SystemExit(main())
