"""Files of plain data, which are written whole or not at all."""

import csv
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .errors import TextError

_PACKED = (b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")


@contextmanager
def whole(path: Path | str) -> Iterator[BinaryIO]:
    """A binary file to write into, which takes the name `path` once all of it is on the disk.

    Who may read it is for the umask to say, as of any new file.

    Raises: OSError, with one line, if it can't be written; then `path` is what it was.
    """
    path = Path(path)
    # Not by tempfile, whose files are their owner's alone.
    partial = path.with_name(f"{path.name}{secrets.token_hex(4)}")
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        # torch.save says of a full disk how many bytes it misses, in a RuntimeError.
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if not isinstance(cause, OSError) or cause.strerror is None:
            raise  # another error, or one that says all this
        raise OSError(f"{path}: can't be written: {cause.strerror}") from None
    finally:
        with suppress(OSError):  # it has another name now, or was never there
            partial.unlink()


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """A folder to write files into, which takes the name `path` once they are on the disk.

    A folder that has this name goes; where a link has it, the folder that the link names.

    Raises: OSError, with one line, if it can't be written; then `path` is what it was.
    """
    path = Path(path).resolve()
    partial, before = (path.with_name(f"{path.name}{secrets.token_hex(4)}") for _ in range(2))
    try:
        partial.mkdir()
        yield partial
        for file in partial.iterdir():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        if path.exists():
            path.rename(before)
        try:
            partial.rename(path)
        except OSError:
            before.rename(path)
            raise
    except OSError as error:
        if error.strerror is None:
            raise  # one that says all this
        raise OSError(f"{path}: can't be written: {error.strerror}") from None
    finally:
        for folder in (partial, before):
            shutil.rmtree(folder, ignore_errors=True)


def read_json(path: Path | str) -> dict[str, Any]:
    """The object in a JSON file. Raises: ValueError if there is none."""
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: no JSON: make it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: its JSON is no object: make it again")
    return content


def write_json(content: Mapping[str, Any], path: Path | str) -> None:
    """Raises: OSError, with one line, if it can't be written."""
    with whole(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_table(rows: Sequence[Mapping[str, Any]], path: Path | str, **form: Any) -> None:
    """Rows, dictionaries, below the names of all their columns; `form` as csv.DictWriter takes it.

    Raises: OSError, with one line, if it can't be written.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, dict.fromkeys(name for row in rows for name in row), **form)
    writer.writeheader()
    writer.writerows(rows)
    with whole(path) as file:
        file.write(table.getvalue().encode(errors="backslashreplace"))


def sha256(path: Path | str) -> str:
    """The checksum of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lines_of(path: Path | str) -> list[str]:
    """The lines of a UTF-8 file, which end with \\n alone: a sentence may hold other separators.

    A byte order mark, as Windows writes it, is no part of the text.

    Raises: TextError if it is not UTF-8.
    """
    content = Path(path).read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        if content.startswith(_PACKED):
            way_out = "unpack it (gunzip, unxz, bunzip2, unzip, unzstd)"
            raise TextError(f"{path}: is packed: {way_out}, and name the text") from None
        raise TextError(f"{path}: is not UTF-8 (byte {error.start:,}): convert it") from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if text.count("\r") > text.count("\n"):  # line ends of old Macs
        text = text.replace("\r", "\n")
    return text.removesuffix("\n").split("\n")


def check_folder(path: Path | str, force: bool, mark: str, what: str) -> None:
    """Raises: ValueError if a folder can't be written, or is there and not to be replaced.

    Only what has the file `mark` is replaced: an earlier `what`.
    """
    path = Path(path)
    if path.exists() and not force:
        raise ValueError(f"{path}: is there already: choose another name, or add --force")
    if path.exists() and not (path / mark).is_file():
        raise ValueError(f"{path}: is no earlier {what}, so it stays: choose another name")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: can't be written: choose a name in a writable folder")


def check_output(path: Path | str, force: bool) -> None:
    """Raises: ValueError if `path` can't be written, or is there and not to be replaced."""
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path}: is no ordinary file: choose another name")
    if path.exists() and not force:
        raise ValueError(f"{path}: is there already: choose another name, or add --force")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: can't be written: choose a file in a writable folder")
