"""A text too long for a model, in parts that end where its sentences do."""
# ruff: noqa: RUF001  signs of other scripts are what this is about

import re
from collections.abc import Callable
from itertools import pairwise

_END = re.compile(
    # Where words have spaces between them: one has to follow, for a number has such signs, too.
    # A run of them is read once, from its beginning.
    r"(?<![.!?…])[.!?…]++[\"'”’“‘»›«‹)\]}]*(?: [»›](?=\s))?(?=\s)"
    # Signs that are nothing else: Chinese and Japanese, Arabic and Urdu, Indian, Burmese, Khmer,
    # Ethiopic, Armenian.
    r"|[。｡！？؟۔।॥။។።։][.!?…。｡！？؟۔।॥။។።։]*[\"'”’»›」』】》〉）)\]}]*"
)


def sentences(text: str) -> list[str]:
    """The text, cut behind the signs that end sentences: joined, they are the text.

    An abbreviation's full stop is taken for an end, too.
    """
    ends = [0, *(found.end() for found in _END.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(ends) if start < end]


def parts(text: str, encode: Callable[[str], list[str]], longest: int) -> list[list[str]]:
    """The pieces of a text, in as few parts of whole sentences as a model takes.

    Args:
        encode: the pieces of a text
        longest: the most pieces of a part

    Raises: ValueError if a sentence has more.
    """
    whole = encode(text)
    if len(whole) <= longest:
        return [whole]
    found: list[list[str]] = []
    part, pieces = "", whole
    for sentence in sentences(text):
        longer = encode((part + sentence).strip())
        if part and len(longer) > longest:
            found.append(pieces)
            part, longer = "", encode(sentence.strip())
        if len(longer) > longest:
            raise ValueError(
                f"has a sentence of {len(longer):,} pieces, and the model takes {longest:,}: "
                "shorten it"
            )
        part, pieces = part + sentence, longer
    return [*found, pieces]
