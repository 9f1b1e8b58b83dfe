"""A process of another program, which does not outlive its need."""

import subprocess
from contextlib import contextmanager


@contextmanager
def child(command, **options):
    """subprocess.Popen as a context; an exception within, an interruption too, ends the process."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise
