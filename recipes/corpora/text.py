"""Parallel text in files, and what every corpus script shares."""

import bz2
import gzip
import lzma
import re
import shutil
import sys
import unicodedata
import zlib
from pathlib import Path

SPLITS = ("train", "valid", "test")
MORE_TESTS = ("test1",)  # what a corpus may have besides, as fairseq names it
# What is packed is known by its first bytes: a name may say nothing, or .GZ.
OPENERS = {
    ".gz": (rb"\x1f\x8b", gzip.open),
    ".xz": (rb"\xfd7zXZ\0", lzma.open),
    ".bz2": (rb"BZh[1-9]1AY&SY", bz2.open),
}
UNPACKED_BY = {
    rb"PK\x03\x04": "unzip",
    rb"\x28\xb5\x2f\xfd": "unzstd",
    rb"\x04\x22\x4d\x18": "unlz4",
    rb"7z\xbc\xaf\x27\x1c": "7z x",
    rb"Rar!\x1a\x07": "unrar x",
    rb"LZIP\x01": "lzip -d",
    rb"\x1f\x9d": "uncompress",
    rb"(?s:.{257})ustar": "tar -xf",
    **{magic: f"as {suffix}" for suffix, (magic, _) in OPENERS.items()},  # packed twice
}
MAX_RATIO = 100  # of unpacked to packed text; what is translated has 3 to 20
LEAST_LIMIT = 2**22  # bytes that may always be unpacked
MOST_COMPOSED = 4000  # characters of a word: of thousands of marks it takes their square

Pair = tuple[str, str]


class CorpusError(Exception):
    """Something the user can put right; its text is one line that says how."""


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, plain or packed by gzip, xz or bzip2, without their ends.

    Raises: CorpusError, with the line, if it is not UTF-8 or not intact, or packed in another way;
    OSError if unreadable.
    """
    try:
        if not path.is_file():
            path.stat()  # an error where nothing is there
            raise CorpusError(f"{path}: is no file: copy its content to one")
        packed = path.stat().st_size
        most = max(LEAST_LIMIT, MAX_RATIO * packed)  # a file made to fill memory has more
        kind, opener = _packed_as(path)
        with opener(path, "rb") as file:
            content = file.read(most + 1)
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if getattr(error, "errno", None):  # bz2 and gzip raise it without, for what the file holds
            raise
        raise CorpusError(f"{path}: is no intact {kind} file ({error})") from None
    if len(content) > most:
        raise CorpusError(f"{path}: unpacks to over {most:,} bytes, too many to be text")
    if (lines := max(map(content.count, (b"\n", b"\r")))) > max(LEAST_LIMIT, packed):
        raise CorpusError(f"{path}: {packed:,} bytes unpack to {lines:,} lines, too many")
    for magic, how in UNPACKED_BY.items():
        if re.match(magic, content):
            raise CorpusError(f"{path}: is packed: unpack it ({how}), and name the text")
    text = decode(content, path)
    if text.count("\r") > text.count("\n"):  # the line ends of old Macs: a few stand within lines
        text = text.replace("\r", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def _packed_as(path: Path):
    """(suffix, function that opens it) of a file. Raises: CorpusError for a name that is wrong."""
    with path.open("rb") as file:
        head = file.read(10)
    for suffix, (magic, opener) in OPENERS.items():
        if re.match(magic, head):
            return suffix, opener
    suffix = path.suffix.lower()
    if suffix in OPENERS and head:
        raise CorpusError(f"{path}: is no intact {suffix} file: if it is text, leave {suffix} out")
    return "", open


def decode(content: bytes, name: Path | str) -> str:
    """Text with \\n as its line end, without the byte order mark that Windows puts before it.

    Raises: CorpusError, with the line, if it is not UTF-8 or has a NUL, as UTF-16 and binary data.
    """
    where, fault = content.find(b"\0"), "has a NUL byte, which text has not: remove it"
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        where, fault = error.start, "is not UTF-8"
    if where >= 0:
        line = content.count(b"\n", 0, where) + 1
        raise CorpusError(f"{name}, line {line}: {fault}")
    return text.replace("\r\n", "\n")


def tidy_line(sentence: str) -> str:
    """A sentence as every corpus has it: with single spaces, in Unicode's composed form, NFC.

    To fairseq all white space is a space, and a word that is spelt in two ways is two words. All
    else stays as it is, and so do words of over 4,000 characters.
    """
    return " ".join(
        word if len(word) > MOST_COMPOSED else unicodedata.normalize("NFC", word)
        for word in sentence.split()
    )


def write(splits: dict[str, list[Pair]], languages: tuple[str, str], out: Path) -> None:
    """Write out/SPLIT.LANGUAGE, one sentence a line: all files or none.

    Raises: CorpusError if a split is empty, or out holds other things than a corpus.
    """
    known = {*SPLITS, *MORE_TESTS}
    if out.exists() and any(path.name.split(".")[0] not in known for path in out.iterdir()):
        raise CorpusError(f"{out} holds more than a corpus, it is left alone; choose another --out")
    if empty := [name for name in (*SPLITS, *splits) if not splits[name]]:
        pairs = sum(map(len, splits.values()))
        raise CorpusError(f"{pairs} usable pairs are too few: none are left for {', '.join(empty)}")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for name, pairs in splits.items():
            for side, language in enumerate(languages):
                text = "".join(pair[side] + "\n" for pair in pairs)
                (partial / f"{name}.{language}").write_bytes(text.encode())
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def summary(splits: dict[str, list[Pair]], languages: tuple[str, str]) -> None:
    """Print how many pairs each split has, and the mean length of its sides."""
    for name, part in splits.items():
        a, b = (sum(len(pair[side].split()) for pair in part) / len(part) for side in (0, 1))
        means = f"mean words: {a:.1f} {languages[0]}, {b:.1f} {languages[1]}"
        print(f"{name:16}{len(part):>9,}  {means}")


def complain(main):
    """Make a script's main return 1 after a one-line error where the user can put it right."""

    def complaining(*arguments, **options):
        try:
            return main(*arguments, **options) or 0
        except (CorpusError, OSError) as error:
            script = Path(main.__globals__["__file__"]).name
            print(f"{script}: error:", " ".join(str(error).split()), file=sys.stderr)
            return 1

    return complaining
