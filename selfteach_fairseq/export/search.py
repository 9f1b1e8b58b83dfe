"""Translations of a data folder's sentences by CTranslate2, in fairseq-generate's batches."""

import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from fairseq.data import Dictionary

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.data import batches_to_translate
from ..errors import DeviceError
from ..programs.generate import Hypothesis, Limit, Output, Search, check_options
from ..progress import Progress
from .folder import load
from .specification import Dictionaries, specification, write

if TYPE_CHECKING:
    from ctranslate2 import Translator

# fairseq-generate's options that have a counterpart here, by its own names.
_TRANSLATED = ("max_len_a", "max_len_b", "max_tokens", "cpu", "post_process")
# Those that change its time and memory, and no search.
OF_COST = ("fp16", "memory_efficient_fp16", "bf16", "num_workers", "data_buffer_size")


def counterparts(options: Sequence[str], besides: Sequence[str] = ()) -> dict[str, Any]:
    """What a user's options for fairseq-generate say, by its own names; also some `besides`.

    Raises: ValueError for one that CTranslate2 has no counterpart of, or that the command decides.
    """
    said = check_options(options)
    for name in said:
        if name not in (*_TRANSLATED, *besides):
            raise ValueError(
                f"--{name.replace('_', '-')} has no counterpart in CTranslate2 here: leave it out, "
                "or keep fairseq as the engine"
            )
    return said


@dataclass(frozen=True)
class Searcher:
    """A model in CTranslate2 and the data folder that it translates."""

    translator: "Translator"
    bytes: int  # of what is loaded
    data: Path | str
    pair: tuple[str, str]
    dictionaries: Dictionaries
    longest: tuple[int, int]  # tokens, of source and target, with the end
    batch_size: int  # sentences
    max_tokens: int | None
    limit: Limit
    post_process: str | None  # how pieces are joined, as in fairseq-generate

    def search(self, subset: str, search: Search) -> Output:
        """As programs.generate.Generate. Only the searches are timed, tokens to tokens."""
        samples = batches_to_translate(
            *(self.data, subset, self.pair, self.dictionaries),
            longest=self.longest,
            batch_size=self.batch_size,
            max_tokens=self.max_tokens,
        )
        inputs = [(self._sources(sample), self._limit(sample)) for sample in samples]
        start = time.perf_counter()
        with Progress("translating", len(samples)) as shown:
            # A batch begins as soon as one of the few that wait has found a free thread.
            begun = [self._begin(*batch, search) for batch in shown.over(inputs)]
            results = [[one.result() for one in batch] for batch in begun]
        seconds = time.perf_counter() - start
        hypotheses: dict[int, list[Hypothesis]] = {}
        targets: dict[int, str] = {}
        for sample, found in zip(samples, results, strict=True):
            numbers = sample["id"].tolist()
            hypotheses |= dict(zip(numbers, map(self._hypotheses, found), strict=True))
            targets |= self._targets(sample)
        tokens = sum(several[0].length for several in hypotheses.values())
        speed = {
            **{"sentences": len(hypotheses), "tokens": tokens, "seconds": round(seconds, 3)},
            "sentences_per_second": round(len(hypotheses) / seconds, 2),
            "tokens_per_second": round(tokens / seconds, 2),
        }
        return Output(hypotheses, targets, speed)

    def _sources(self, sample: Mapping[str, Any]) -> list[list[str]]:
        """The symbols of each sentence, without padding and end."""
        dictionary = self.dictionaries[0]
        ends = (dictionary.pad(), dictionary.eos())
        return [
            [dictionary[token] for token in row if token not in ends]
            for row in sample["net_input"]["src_tokens"].tolist()
        ]

    def _limit(self, sample: Mapping[str, Any]) -> int:
        """As fairseq's search has it: by the length of the batch, padding included."""
        length = sample["net_input"]["src_tokens"].shape[1]
        return self.limit.within(length, self.longest[1] - 1)

    def _begin(self, sources: list[list[str]], limit: int, search: Search) -> Any:
        """The batch's results, each to be waited for: as many batches at once as threads."""
        return self.translator.translate_batch(
            sources,
            asynchronous=True,
            beam_size=search.beam,
            length_penalty=search.lenpen,
            num_hypotheses=search.nbest,
            max_input_length=0,  # of longer ones the rest would be left out in silence
            max_decoding_length=limit,
            return_scores=True,
        )

    def _hypotheses(self, result: Any) -> list[Hypothesis]:
        dictionary = self.dictionaries[1]
        return [
            Hypothesis(
                _text(dictionary, map(dictionary.index, symbols), self.post_process),
                score / math.log(2),
                len(symbols) + 1,
            )
            for symbols, score in zip(result.hypotheses, result.scores, strict=True)
        ]

    def _targets(self, sample: Mapping[str, Any]) -> dict[int, str]:
        if sample["target"] is None:
            return {}
        dictionary = self.dictionaries[1]
        rows = zip(sample["id"].tolist(), sample["target"].tolist(), strict=True)
        return {
            number: _text(
                dictionary,
                (token for token in row if token != dictionary.pad()),
                self.post_process,
                escape_unk=True,
            )
            for number, row in rows
        }


def _text(dictionary: Dictionary, tokens: Any, post_process: str | None, **form: Any) -> str:
    ends = {dictionary.eos()}
    ids = torch.tensor([*tokens], dtype=torch.long)
    return dictionary.string(ids, post_process, extra_symbols_to_ignore=ends, **form)


@contextmanager
def searching(
    checkpoint: Checkpoint,
    data: Path | str,
    pair: tuple[str, str],
    dictionaries: Dictionaries,
    *,
    quantization: str,
    threads: int,
    batch_size: int,
    post_process: str | None,
    options: Sequence[str],
) -> Iterator[Searcher]:
    """Gives a Searcher of a checkpoint that stock fairseq loads, on the GPU if fairseq would be.

    On the CPU where CTranslate2 can't use the GPU, and says so.

    Args:
        data: folder of fairseq-preprocess
        pair: languages, (source, target)
        dictionaries: theirs, that fit the checkpoint
        threads: how many batches at once
        batch_size: sentences
        post_process: how pieces are joined, unless the options say
        options: as fairseq-generate takes them

    Raises: ValueError for an option without a counterpart, a model that CTranslate2 can't have, or
        numbers that the device can't compute with.
    """
    said = counterparts(options)
    device = "cuda" if torch.cuda.is_available() and "cpu" not in said else "cpu"
    settings = checkpoint.family.complete(checkpoint.settings)  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as folder:
        write(specification(checkpoint, dictionaries), folder, quantization)
        yield Searcher(
            translator=_loaded(folder, quantization, device, threads),
            bytes=sum(file.stat().st_size for file in Path(folder).iterdir()),
            data=data,
            pair=pair,
            dictionaries=dictionaries,
            longest=(settings["max_source_positions"], settings["max_target_positions"]),
            batch_size=batch_size,
            max_tokens=said.get("max_tokens"),
            limit=Limit.of(said),
            post_process=said.get("post_process", post_process),
        )


def _loaded(folder, quantization, device, threads):
    try:
        return load(folder, quantization, device, threads)
    except DeviceError as error:
        print(f"{error}; so the CPU translates", file=sys.stderr, flush=True)
        return load(folder, quantization, "cpu", threads)
