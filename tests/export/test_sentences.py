"""Where a text that is too long for a model is cut."""
# ruff: noqa: RUF001  signs of other scripts are what this is about

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfteach_fairseq.export.sentences import parts, sentences

TEXTS = {
    "full stops, questions": ["Er kam.", " Wer?", " Nein!", " Ja …", " Gut"],
    "several signs": ["So?!", " Nun...", " Na"],
    "quotes": ["„Ja.“", " «Non !»", " (Eh?)", ' "So."', " “Yes.”", " Na"],
    "quotes with spaces": ["« Non. »", " Et puis"],
    "numbers and names": ["Version 3.14 von a.b.com!ja?nein"],
    "Chinese, without spaces": ["他说：“你好。”", "真的吗？！", "（是。）", "３.１４"],
    "Japanese": ["「こんにちは。」", "はい！", "と"],
    "Arabic": ["كيف الحال؟", " بخير."],
    "Urdu": ["یہ ہے۔", " وہ"],
    "Hindi": ["नमस्ते।", " दुनिया॥", " क"],
    "words, with spaces": ["he came .", " who ?", " he"],
    "no end": ["a b c"],
    "nothing": [],
}


@pytest.mark.parametrize("expected", TEXTS.values(), ids=TEXTS)
def test_sentences(expected):
    assert sentences("".join(expected)) == expected


def test_a_long_row_of_dots():
    """As in a table of contents: time must not grow with its square."""
    row = "." * 500_000
    assert sentences(f"a {row}b. c") == [f"a {row}b.", " c"]


@given(st.text(alphabet='a .。?»"1', max_size=60))
def test_sentences_are_the_text(text):
    assert "".join(sentences(text)) == text


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.integers(5, 12))
def test_as_few_parts_as_fit(sizes, longest):
    """As few as a search through all ways finds, in words."""
    words = [["w"] * (size - 1) + ["w."] for size in sizes]
    found = parts(" ".join(" ".join(sentence) for sentence in words), str.split, longest)
    assert [word for part in found for word in part] == [w for sentence in words for w in sentence]
    assert all(len(part) <= longest and part[-1] == "w." for part in found)
    fewest = [0]  # parts of the first sentences
    for end in range(1, len(sizes) + 1):
        starts = (start for start in range(end) if sum(sizes[start:end]) <= longest)
        fewest.append(1 + min(fewest[start] for start in starts))
    assert len(found) == fewest[-1]


def test_a_sentence_that_is_too_long():
    assert parts("a b c", str.split, 3) == [["a", "b", "c"]]
    assert parts("a. b c", str.split, 2) == [["a."], ["b", "c"]]
    with pytest.raises(ValueError, match="has a sentence of 4 pieces, and the model takes 3: "):
        parts("a. b c d e. f", str.split, 3)
