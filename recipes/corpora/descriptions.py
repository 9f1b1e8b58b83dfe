"""Long descriptions of Debian's packages, and their one-line descriptions as summaries.

    python recipes/corpora/descriptions.py --out DIR
    python recipes/corpora/descriptions.py --dump FILE --out DIR

reads what `apt-cache dumpavail` prints and apt's lists of English descriptions, or a file of both.
Paragraphs that several packages share ("This package contains the documentation.") are left out.
All packages of one source are in one split, so that no near copy of a document is tested.
"""

import argparse
import re
from collections import Counter
from pathlib import Path

from debian import TAIL, command, dumped, packages, split_of
from text import SPLITS, CorpusError, Pair, complain, read_lines, summary, tidy_line, write

SIDES = ("document", "summary")
WORDS = range(25, 251)  # of a document
LEAST_WORDS = 3  # of a summary
SHARED_BY = 3  # packages at most have a paragraph that is kept
ONE_IN = 20  # sources to test, and to valid
_EMPTY = re.compile(r"transitional|dummy|metapackage", re.IGNORECASE)


def described() -> list[str]:
    """The lines of apt's lists of English descriptions. Raises: CorpusError without apt."""
    english = ("Created-By: Translations", "Language: en")
    lists = filter(None, command("apt-get", "indextargets", "--format", "$(FILENAME)", *english))
    lines: list[str] = []
    for path in lists:
        lines += [*command("/usr/lib/apt/apt-helper", "cat-file", path), ""]
    return lines


def paragraphs(description: list[str]) -> list[str]:
    """Those of a long description, in which a line of one point parts them."""
    text = "\n".join("" if line.strip() == "." else line for line in description)
    return [tidy_line(part) for part in text.split("\n\n") if part.strip()]


def divided(lines: list[str]) -> dict[str, list[Pair]]:
    """Pairs by split; a document and a summary count once, as the first package has them.

    Raises: CorpusError if no package has a description.
    """
    sources: dict[str, str] = {}
    long: dict[str, tuple[str, list[str]]] = {}
    for package in packages(lines):
        name = package.get("Package")
        if not name:
            continue
        sources.setdefault(name, package.get("Source") or name)
        line, *rest = package.get("Description-en", "").split("\n")
        if rest:
            long.setdefault(name, (tidy_line(TAIL.sub("", line)), paragraphs(rest)))
    if not long:
        raise CorpusError("no English descriptions: apt-get -o Acquire::Languages=en update first")
    shared = Counter(part for _, parts in long.values() for part in set(parts))
    splits: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    known: set[str] = set()
    for name, (short, parts) in long.items():
        document = " ".join(part for part in parts if shared[part] <= SHARED_BY)
        if len(document.split()) not in WORDS or len(short.split()) < LEAST_WORDS:
            continue
        if _EMPTY.search(short) or known & {document, short}:
            continue
        known |= {document, short}
        splits[split_of(sources[name], ONE_IN)].append((document, short))
    return splits


@complain
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dump", type=Path, metavar="FILE", help="of what apt prints")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    args = parser.parse_args(argv)
    splits = divided(read_lines(args.dump) if args.dump else [*dumped(), "", *described()])
    write(splits, SIDES, args.out)
    summary(splits, SIDES)


if __name__ == "__main__":
    raise SystemExit(main())
