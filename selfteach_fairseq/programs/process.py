"""A process of another program, which does not outlive its need."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USER_DIR = Path(__file__).parent.parent  # what fairseq's --user-dir takes: this package


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """subprocess.Popen as a context; an exception within, an interruption too, ends the process."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


def die_of_interrupt() -> None:
    """Ends this process as Ctrl-C does by default: a shell's loop around it ends, too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
