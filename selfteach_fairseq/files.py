"""Files of plain data, which are written whole or not at all."""

import csv
import hashlib
import io
import json
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(path):
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
        if getattr(cause, "strerror", None) is None:  # another error, or one that says all this
            raise
        raise OSError(f"{path}: can't be written: {cause.strerror}") from None
    finally:
        with suppress(OSError):  # it has another name now, or was never there
            partial.unlink()


def read_json(path):
    """The object in a JSON file. Raises: ValueError if there is none."""
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: no JSON: make it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: its JSON is no object: make it again")
    return content


def write_json(content, path):
    """Raises: OSError, with one line, if it can't be written."""
    with whole(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_table(rows, path, **form):
    """Rows, dictionaries, below the names of all their columns; `form` as csv.DictWriter takes it.

    Raises: OSError, with one line, if it can't be written.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, dict.fromkeys(name for row in rows for name in row), **form)
    writer.writeheader()
    writer.writerows(rows)
    with whole(path) as file:
        file.write(table.getvalue().encode(errors="backslashreplace"))


def sha256(path):
    """The checksum of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
