"""Files that are written whole or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile


@contextmanager
def whole(path):
    """A binary file to write into, which takes the name `path` once all of it is on the disk.

    Raises: OSError, with one line, if it can't be written; then `path` is what it was.
    """
    path = Path(path)
    partial = None
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            partial = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        # torch.save says of a full disk how many bytes it misses, in a RuntimeError.
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if getattr(cause, "strerror", None) is None:  # another error, or one that says all this
            raise
        raise OSError(f"{path}: can't be written: {cause.strerror}") from None
    finally:
        if partial:
            partial.unlink(missing_ok=True)
