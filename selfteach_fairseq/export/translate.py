"""Text in, text out, by an exported model: line for line, as it comes."""

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..errors import DataError, TextError, one_line
from ..languages import CHINESE, JAPANESE, language_of
from ..programs.process import die_at_once
from ..progress import lines_bar
from . import folder, subwords
from .sentences import parts

_BLOCK = 2**16  # bytes to read at once: what a pipe holds, some 1,000 lines
_BATCH = 2048  # tokens
_LONGEST_LINE = 2**20  # bytes
_NO_SPACES = (*CHINESE, *JAPANESE)  # between sentences; Thai, for one, has them there

Parts = list[list[str]]  # of a line, each of pieces


class LineByLine(Protocol):
    """What stream() has lines translated by; anything that goes in line for line."""

    def parts(self, line: str) -> Any:
        """A line as translate() takes it. Raises: ValueError, with what is wrong with it."""

    def translate(self, lines: Sequence[Any]) -> list[str]: ...


class Translator:
    """An exported model with its folder's way of searching, or another."""

    def __init__(
        self,
        path: Path | str,
        *,
        beam: int | None = None,
        lenpen: float | None = None,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        """
        Args:
            path: folder of `selfteach export`
            beam, lenpen: the folder's if None
            threads: of a CPU, each of which has a batch of its own

        Raises: DataError if the folder is not what was exported; ValueError if this device can't
            compute with its numbers.
        """
        if beam is not None and beam > folder.LARGEST_BEAM:
            raise ValueError(f"--beam {beam}: choose at most {folder.LARGEST_BEAM:,}")
        self.settings = settings = folder.read(path)
        self._path = path
        self._model = folder.load(path, settings.quantization, device, threads)
        self._options = {
            "beam_size": settings.beam if beam is None else beam,
            "length_penalty": settings.lenpen if lenpen is None else lenpen,
            **{"max_input_length": 0, "max_batch_size": _BATCH, "batch_type": "tokens"},
        }
        self._encode: Callable[[str], list[str]] = str.split
        self._known: Callable[[str], str] = str
        self._decode: Callable[[list[str]], str] = " ".join
        self._between = " "  # the translations of a line's parts
        if settings.subwords:
            source, target = subwords.read_sides(path, settings.subwords)
            self._encode, self._decode = partial(source.encode, out_type=str), target.decode
            self._known = partial(subwords.known, source)
            if language_of(settings.target) in _NO_SPACES:
                self._between = ""

    def parts(self, line: str) -> Parts:
        """A line as the model takes it: in one part, or in as many as it is too long for one.

        Raises: ValueError if a sentence is too long for one.
        """
        text = " ".join(line.split())  # as recipes/subwords.py spaces what models learn from
        found = parts(self._known(text), self._encode, self.settings.longest_source)
        return [part for part in found if part]  # in white space there is nothing to translate

    def translate(self, lines: Sequence[Parts]) -> list[str]:
        """Of each line its translation, which has no line end in it.

        A line's does not depend on the other lines.

        Raises: DataError if CTranslate2 can't go on.
        """
        # One search is of parts with as many tokens: they have one length limit, and no padding.
        alike: dict[int, list[list[str]]] = defaultdict(list)
        for line in lines:
            for part in line:
                alike[len(part)].append(part)
        try:
            searches = {size: self._search(some) for size, some in sorted(alike.items())}
            found = {
                size: iter([result.result().hypotheses[0] for result in results])
                for size, results in searches.items()
            }
        except (RuntimeError, ValueError, MemoryError) as error:
            why = one_line(error) or "no memory left"
            raise DataError(f"{self._path}: CTranslate2 can't translate ({why})") from None
        return [self._text([next(found[len(part)]) for part in line]) for line in lines]

    def _search(self, some):
        limit = self.settings.limit.within(len(some[0]) + 1, self.settings.longest_target)
        return self._model.translate_batch(
            some, max_decoding_length=limit, asynchronous=True, **self._options
        )

    def _text(self, translations):
        text = self._between.join(map(self._decode, translations))
        return " ".join(text.splitlines())  # a piece may hold a line end


def stream(
    translator: LineByLine,
    source: BinaryIO,
    target: BinaryIO,
    count: Callable[[int], Any] = lambda lines: None,
) -> None:
    """Translates lines of UTF-8 as they come.

    Args:
        source: unbuffered: what it has is translated, without waiting for more
        target: for as many lines; what is there is flushed
        count: is told how many lines more are done

    Raises: TextError for a line that is not UTF-8, or too long; those before it are translated.
    """
    number, refused = 0, None
    for lines in _lines(source):
        taken = []
        for number, line in enumerate(lines, start=number + 1):  # noqa: B020
            try:
                taken.append(translator.parts(_decoded(line, first=number == 1)))
            except ValueError as error:
                refused = TextError(f"standard input, line {number:,}: {error}")
                break
        for text in translator.translate(taken):
            target.write(text.encode() + b"\n")
        target.flush()
        count(len(taken))
        if refused:
            raise refused


def check_standard_streams() -> None:
    """Raises: ValueError if standard input or output is closed."""
    if sys.stdin is None or sys.stdout is None:
        raise ValueError("standard input or output is closed: leave it open")


def stream_standard(translator: LineByLine, doing: str) -> None:
    """As stream(), from standard input to standard output, with a bar that says what is done."""
    die_at_once()
    streams = [file.fileno() for file in (sys.stdin, sys.stdout)]
    for descriptor in streams:
        os.set_blocking(descriptor, True)  # or what isn't there yet would look like the end
    with (
        open(streams[0], "rb", buffering=0, closefd=False) as source,
        open(streams[1], "wb", closefd=False) as target,
        lines_bar(doing) as bar,
    ):
        stream(translator, source, target, bar.update)


def _lines(source: BinaryIO) -> Iterator[list[bytes]]:
    """The lines that are there, again and again; of one that is far too long the beginning."""
    rest = b""
    while len(rest) <= _LONGEST_LINE and (block := source.read(_BLOCK)):
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _decoded(line, first):
    """Raises: ValueError, with what is wrong with it."""
    if len(line) > _LONGEST_LINE:
        raise ValueError(f"has more than {_LONGEST_LINE:,} bytes: divide it")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start:,}): convert it") from None
    return text.removeprefix("\ufeff") if first else text
