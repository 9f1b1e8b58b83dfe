"""Progress of a long computation: a bar in a terminal, otherwise a line every ten seconds."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

from tqdm import tqdm

_SAY_EVERY = 10  # seconds
_Batch = TypeVar("_Batch")


def lines_bar(what: str) -> "tqdm[None]":
    """A bar that counts lines of standard output, unless a terminal shows these, or not the bar."""
    hidden = True if sys.stdout.isatty() else None  # None: if standard error is no terminal
    return tqdm(desc=what, unit=" lines", leave=False, disable=hidden)


class Progress:
    """A context manager that counts batches; `total` may become known later."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what, self._total, self._done = what, total, 0
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._bar = tqdm(
            desc=self._what, total=self._total, unit="batch", leave=False, disable=None
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def reach(self, done: int, total: int | None) -> None:
        """Report that `done` of `total` batches are done."""
        self._bar.total = total
        self._bar.update(done - self._done)
        self._total, self._done = total, done
        if self._bar.disable and time.monotonic() - self._said > _SAY_EVERY:  # not a terminal
            print(f"{self._what}: {done} of {total} batches", flush=True)
            self._said = time.monotonic()

    def over(self, batches: Iterable[_Batch]) -> Iterator[_Batch]:
        """Yield the batches, counting each when the next one is asked for."""
        for batch in batches:
            yield batch
            self.reach(self._done + 1, self._total)
