"""What translates a test set: fairseq-generate, or CTranslate2."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fairseq.data import Dictionary

from ..checkpoints.checkpoint import Checkpoint
from ..export.search import searching
from ..programs.generate import Output, Search, generating

ENGINES = ("fairseq", "ctranslate2")


class Task(NamedTuple):
    """What is translated by which model, and how."""

    model: Checkpoint  # that stock fairseq loads
    file: Path  # where it has been read
    data: Path | str  # folder of fairseq-preprocess
    pair: tuple[str, str]  # languages
    dictionaries: tuple[Dictionary, Dictionary]
    batch_size: int  # sentences
    threads: int
    options: Sequence[str]  # further ones for fairseq-generate


class Engine(NamedTuple):
    """Searches, and what a record says of what it is."""

    search: Callable[[str, Search], Output]
    facts: dict[str, Any]
    one_search_for_all: bool  # whether a search ends the same hypotheses at any length penalty
    on_cpu: bool = False  # though there may be a GPU


@contextmanager
def of_fairseq(task: Task) -> Iterator[Engine]:
    """Its options are checked already: see programs.generate.check_options()."""
    joining = _joining(task.dictionaries[1])
    common = ["--batch-size", str(task.batch_size)]
    common += ["--post-process", joining] if joining else []
    with generating(task.model, task.data, task.pair, task.threads) as generate:

        def search(subset: str, search: Search) -> Output:
            words = ["--beam", str(search.beam), "--lenpen", str(search.lenpen)]
            return generate(subset, [*words, "--nbest", str(search.nbest), *common, *task.options])

        facts = {"engine": "fairseq", "threads": task.threads}
        # Which hypotheses it ends does not depend on the length penalty, only their order does
        # (SequenceGenerator.is_finished counts them).
        yield Engine(search, {**facts, "bytes": task.file.stat().st_size}, True)


@contextmanager
def of_ctranslate2(task: Task, quantization: str) -> Iterator[Engine]:
    """Raises: ValueError for options without a counterpart, or what CTranslate2 can't compute."""
    with searching(
        *(task.model, task.data, task.pair, task.dictionaries),
        quantization=quantization,
        threads=task.threads,
        batch_size=task.batch_size,
        post_process=_joining(task.dictionaries[1]),
        options=task.options,
    ) as searcher:
        facts = {
            "engine": "ctranslate2",
            "quantization": quantization,
            "compute_type": searcher.translator.compute_type,
            "threads": task.threads,
            "bytes": searcher.bytes,
        }
        yield Engine(searcher.search, facts, False, searcher.translator.device == "cpu")


def _joining(dictionary):
    """What makes words of the pieces in a dictionary, by fairseq's name; None if it has none."""
    if any("\u2581" in symbol for symbol in dictionary.symbols):
        return "sentencepiece"
    if any(symbol.endswith("@@") for symbol in dictionary.symbols):
        return "subword_nmt"
    return None
