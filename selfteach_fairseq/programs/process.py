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


def die_at_once() -> None:
    """Lets signals end this process in the middle of a library's call, too, as they end others.

    A pipe that nobody reads any more is one of them. For a command that has nothing to tidy up.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        # A shell has processes in the background ignore Ctrl-C; Python itself ignores SIGPIPE.
        if number == signal.SIGPIPE or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def die_of_interrupt() -> None:
    """Ends this process as Ctrl-C does by default: a shell's loop around it ends, too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
