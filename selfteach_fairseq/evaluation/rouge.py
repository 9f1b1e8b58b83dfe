"""ROUGE (Lin 2004) of summaries, by rouge-score, as a metric that sacreBLEU's tests take."""

import logging
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import numpy as np
from fairseq.data import Dictionary
from sacrebleu.metrics.base import Metric, Score, Signature

NAMES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"}
CHOSEN = "rougeL"  # what length penalties are chosen by, and what is tested


def check_words(dictionary: Dictionary, joined: bool) -> None:
    """Raises: ValueError for numbers of pieces that no option of fairseq-generate has joined."""
    words = dictionary.symbols[dictionary.nspecial :]
    if not joined and 10 * sum(map(str.isdecimal, words)) > 9 * len(words):
        raise ValueError(
            "--metric rouge: the targets are numbers, as GPT-2's pieces are: say by which options "
            "of fairseq-generate they become text: -- --bpe gpt2 ..."
        )


def check_letters(references: Iterable[str]) -> None:
    """Raises: ValueError if most letters are none that rouge-score counts: it would say 0."""
    letters = [letter for line in references for letter in line.casefold() if letter.isalnum()]
    if 2 * sum(map(str.isascii, letters)) < len(letters):
        raise ValueError(
            "--metric rouge counts words of the letters a to z and digits, and most of the "
            "references have others: leave it out (METRIC=bleu of the recipes)"
        )


class _RougeSignature(Signature):
    def __init__(self, args: dict[str, Any]) -> None:
        super().__init__(args)
        self.info |= {"rouge-score": version("rouge-score"), "stemmer": "porter"}


class Rouge(Metric):
    """The mean of the summaries' F1, from 0 to 100, of words in lower case without their endings.

    Words are of the letters a to z and digits. Sentences of a summary, which Lsum looks at one by
    one, are what the two characters \\n divide.

    Raises: ValueError without rouge-score.
    """

    _SIGNATURE_TYPE = _RougeSignature

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError:
            raise ValueError(
                "--metric rouge: rouge-score is missing: pip install 'selfteach_fairseq[rouge]'"
            ) from None
        logging.getLogger("absl").setLevel(logging.WARNING)  # it says which tokenizer it takes
        self.name = name
        self._scorer = RougeScorer([name], use_stemmer=True)

    def _cache_references(self, references: Any) -> Any:
        for lines in references:
            check_letters(lines)
        return super()._cache_references(references)

    def _preprocess_segment(self, sent: str) -> str:
        return sent.replace("\\n", "\n")

    def _extract_reference_info(self, refs: Any) -> dict[str, Any]:
        return {"references": refs}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict) -> list[float]:
        scores = self._scorer.score_multi(ref_kwargs["references"], hypothesis)
        return [scores[self.name].fmeasure, 1]

    def _aggregate_and_compute(self, stats: Any) -> Score:
        return self._compute_score_from_stats(np.sum(stats, axis=0))

    def _compute_score_from_stats(self, stats: Any) -> Score:
        total, count = stats
        return Score(NAMES[self.name], 100 * total / count)
