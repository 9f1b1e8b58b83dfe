"""How good translations are: sacreBLEU's BLEU and chrF, in the tokens of the target's language.

And how good summaries are: ROUGE, which reads English.
"""

import os
from collections.abc import Iterable

from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.metrics.base import Metric
from sacrebleu.utils import SACREBLEU_DIR

from ..errors import one_line
from ..languages import CHINESE, JAPANESE, language_of
from . import rouge

METRICS = ("bleu", "rouge")
TOKENIZERS = tuple(BLEU.TOKENIZERS)
BEFORE_RECORDED = "13a"  # what records count that do not say so
_CHARACTERS = "char"
_MECAB = {
    **dict.fromkeys(JAPANESE, "ja-mecab"),
    **dict.fromkeys(("ko", "kor"), "ko-mecab"),
}
# Written without spaces between words: Thai, Lao, Khmer, Burmese, Shan, Tibetan, Dzongkha.
_NO_SPACES = (
    *("th", "tha", "lo", "lao", "km", "khm", "my", "mya", "bur", "shn"),
    *("bo", "bod", "tib", "dz", "dzo"),
)
_EXTRAS = {"ja-mecab": "sacrebleu[ja]", "ko-mecab": "sacrebleu[ko]"}


def tokenizer_for(language: str) -> tuple[str, str | None]:
    """The name of the tokenizer that counts words of a language, given its code, such as zh_CN.

    Returns: (name, note): the note says in a line what would be better, or is None.
    """
    part = language_of(language)
    if part in CHINESE:
        return "zh", None
    if part in _MECAB:
        mecab = _MECAB[part]
        try:
            bleu(mecab)
        except ValueError:
            return _CHARACTERS, (
                f"{language}: BLEU counts characters; to count words, "
                f"pip install '{_EXTRAS[mecab]}', or name another --tokenizer"
            )
        return mecab, None
    if part in _NO_SPACES:
        return _CHARACTERS, (
            f"{language}: BLEU counts characters, for there are no spaces between words; to count "
            "subwords, name --tokenizer flores200"
        )
    return BLEU.TOKENIZER_DEFAULT, None


def bleu(tokenizer: str, lowercase: bool = False) -> BLEU:
    """sacreBLEU's metric. Raises: ValueError if the tokenizer can't be had."""
    if tokenizer not in TOKENIZERS:
        raise ValueError(f"--tokenizer {tokenizer}: name one of {', '.join(TOKENIZERS)}")
    try:
        return BLEU(tokenize=tokenizer, lowercase=lowercase)
    except (Exception, SystemExit) as error:  # whatever breaks in it, or in what it downloads
        if tokenizer in _EXTRAS:
            raise ValueError(
                f"--tokenizer {tokenizer}: needs pip install '{_EXTRAS[tokenizer]}'"
            ) from None
        raise ValueError(
            f"--tokenizer {tokenizer}: sacreBLEU can't get its model ({one_line(error)}): it is "
            f"downloaded once, to {os.path.join(SACREBLEU_DIR, 'models')}: connect to the network, "
            "and remove a broken file there"
        ) from None


def deciding(metric: str, tokenizer: str) -> Metric:
    """What length penalties are chosen by, and what is tested: of METRICS.

    Raises: ValueError if it can't be had.
    """
    return rouge.Rouge(rouge.CHOSEN) if metric == "rouge" else bleu(tokenizer)


def quality(
    translations: list[str], references: list[str], tokenizer: str, metric: str = METRICS[0]
) -> dict[str, str | float]:
    """The fields of a record that say how good translations are, and what is counted for it.

    Args:
        metric: of METRICS; with "rouge" these, too
    """
    metrics: dict[str, Metric] = {
        "bleu": bleu(tokenizer),
        "bleu_lc": bleu(tokenizer, lowercase=True),
        "chrf": CHRF(),
        "chrfpp": CHRF(word_order=2),  # chrF++
    }
    if metric == "rouge":
        metrics |= {name: rouge.Rouge(name) for name in rouge.NAMES}
    fields: dict[str, str | float] = {"tokenizer": tokenizer}
    for name, one in metrics.items():
        fields[name] = round(score(one, translations, references), 2)
        fields[f"{name}_signature"] = str(one.get_signature())
    return fields


def score(metric: Metric, translations: list[str], references: list[str]) -> float:
    """Of a corpus, with one reference for each translation. Raises: see check_references()."""
    check_references(references)
    return metric.corpus_score(translations, [references]).score


def check_references(references: Iterable[str]) -> None:
    """Raises: ValueError if there is nothing to compare with, for sacreBLEU would say 0."""
    if not any(reference.strip() for reference in references):
        raise ValueError("the references are empty: name text to compare with by --references")
