"""One-line descriptions of Debian's packages, labelled with their section.

    python recipes/corpora/debian.py --out DIR
    python recipes/corpora/debian.py --dump FILE --out DIR

reads what `apt-cache dumpavail` prints, or a file of that. Kept are sections that say what a
program is for; others (libs, python, doc) say how it is packaged. All packages of one source are in
one split, so that no near copy of a text is tested.
"""

import argparse
import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from labelled import Row, write_all
from text import SPLITS, CorpusError, complain, read_lines, tidy_line

SECTIONS = ("admin", "database", "devel", "editors", "electronics", "games", "gnome", "graphics")
SECTIONS += ("hamradio", "kde", "mail", "math", "net", "science", "sound", "text", "video", "web")
SECTIONS += ("x11",)
LEAST_WORDS = 3
ONE_IN = 10  # sources to test, and to valid
TAIL = re.compile(r"\s*\([^()]*\)$")  # which part of a source it is: (server)
# Packages without a subject of their own.
_PART = re.compile(
    r"\bdata\b|transitional|documentation|metapackage|dummy|\bheaders\b|debug"
    r"|(common|shared) files|plugins? for",
    re.IGNORECASE,
)


def command(*words: str) -> list[str]:
    """The lines that a command of apt prints. Raises: CorpusError if it fails."""
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CorpusError(
            f"{' '.join(words)}: {error}: on a Debian system write what it prints to a file, and "
            "say DUMP=FILE"
        ) from None
    return found.stdout.split("\n")


def dumped() -> list[str]:
    """The lines of `apt-cache dumpavail`. Raises: CorpusError without it."""
    return command("apt-cache", "dumpavail")


def packages(lines: list[str]) -> Iterator[dict[str, str]]:
    """The fields of each package; lines that go on with one stand behind its first."""
    fields: dict[str, str] = {}
    name = ""
    for line in (*lines, ""):
        if line[:1].isspace() and line.strip():
            if name:
                fields[name] += f"\n{line.strip()}"
        elif line.strip():
            name, colon, value = line.partition(":")
            if name in fields or not colon:
                name = ""
            else:
                fields[name] = value.strip()
        elif fields:
            yield fields
            fields, name = {}, ""


def split_of(source: str, one_in: int) -> str:
    """The split of all packages of a source, such as "glibc (2.36)"."""
    number = int(hashlib.sha256(source.split()[0].encode()).hexdigest(), 16) % one_in
    return {0: "test", 1: "valid"}.get(number, "train")


def divided(lines: list[str]) -> dict[str, list[Row]]:
    """Rows by split; a text counts once, as the first package has it.

    Raises: CorpusError if there are no packages.
    """
    splits: dict[str, list[Row]] = {name: [] for name in SPLITS}
    known = set()
    for package in packages(lines):
        section, name = package.get("Section"), package.get("Package")
        description = package.get("Description") or package.get("Description-en", "")
        description = description.partition("\n")[0]
        text = tidy_line(TAIL.sub("", description))
        if section not in SECTIONS or not name or _PART.search(description):
            continue
        if len(text.split()) < LEAST_WORDS or text.casefold() in known:
            continue
        known.add(text.casefold())
        splits[split_of(package.get("Source") or name, ONE_IN)].append((section, text))
    if not known:
        raise CorpusError("apt-cache dumpavail has no packages with sections: apt-get update first")
    return splits


@complain
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dump", type=Path, metavar="FILE", help="of apt-cache dumpavail")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    args = parser.parse_args(argv)
    write_all(divided(read_lines(args.dump) if args.dump else dumped()), args.out)


if __name__ == "__main__":
    raise SystemExit(main())
