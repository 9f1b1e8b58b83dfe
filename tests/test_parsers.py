"""Whatever is put into the parsers, what comes out keeps its promises."""

import unicodedata

import bitext
import iwslt14_markup as markup
import pytest
from hypothesis import given
from hypothesis import strategies as st
from text import MOST_COMPOSED, CorpusError, tidy_line

from selfteach_fairseq.errors import one_line
from selfteach_fairseq.layers import Layers, parse_students

# What str.splitlines() and other programs take for the end of a line, and other traps.
SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r"
WORDS = st.text("aAß\u0301\u202e\u200b" + SEPARATORS + " \t", max_size=6)
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=60)
LAYERS = st.integers(0, 9999)


def is_one_line(text):
    return text.split() == text.split(" ") or text == ""


@given(encoder=LAYERS, decoder=LAYERS)
def test_a_student_reads_what_it_writes(encoder, decoder):
    student = Layers.first(encoder, decoder)
    assert Layers.parse(str(student)) == student
    assert Layers.parse(f" {encoder} ").counts == (encoder, encoder)


@given(st.text("0123456789x, ٣²\n") | st.text())
def test_any_choice_of_students(text):
    try:
        students = parse_students(text)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    assert len(set(students)) == len(students) == text.count(",") + 1
    assert parse_students(",".join(map(str, students))) == students


@given(st.text())
def test_an_error_is_one_line(text):
    line = one_line(ValueError(text))
    assert line.isprintable() and len(line) < 600
    if text == " ".join(text.split()) and text.isprintable():
        assert line == text


MARKS = st.sampled_from(
    [
        *("<title>", "</title>", "<description>", "</description>", "<url>", "</url>", "<talkid>"),
        *('<doc docid="1">', "</doc>", '<seg id="1">', "<seg>", "</seg>", "<seg ", "</", "<", ">"),
        *("&lt;", "&#10;", "&#x2028;", "&#9999999;", "&#" + "9" * 5000 + ";", "&", "\n", "\r\n"),
        *("\0", "\ufeff", "\u2019", 'id="'),
    ]
)
MARKUP = st.lists(MARKS | WORDS, max_size=40).map("".join)


@given(MARKUP)
def test_any_markup_gives_sentences_or_one_line(text):
    for parse in (markup.training, markup.test):
        try:
            found = parse(text.encode(), "a file")
        except CorpusError as error:
            assert str(error).startswith("a file") and "\n" not in str(error)
            continue
        assert all(is_one_line(one.sentence) for one in found)
        lines = [one.line for one in found]
        assert lines == sorted(lines)
        if parse is markup.training:
            assert len(found) <= text.count("\n") + 1


@given(st.binary())
def test_any_bytes_as_markup(content):
    for parse in (markup.training, markup.test):
        try:
            parse(content, "a file")
        except CorpusError as error:
            assert str(error).startswith("a file")


@given(st.lists(WORDS, min_size=1, max_size=20))
def test_segments_come_back_as_they_were(sentences):
    segments = (f'<seg id="{i}">{text}</seg>' for i, text in enumerate(sentences))
    found = markup.test(f'<doc docid="1">{"".join(segments)}'.encode(), "a file")
    expected = [unicodedata.normalize("NFC", " ".join(text.split())) for text in sentences]
    assert [one.sentence for one in found] == expected


def test_an_open_segment_is_told():
    with pytest.raises(CorpusError, match="line 2: <seg> without its end"):
        markup.test(b'<doc docid="1">\n<seg id="1">a\n<seg id="2">b</seg>', "a file")


@given(PAIRS)
def test_tidy_text_is_one_line_a_side(pairs):
    tidy = bitext.tidy(pairs)
    assert len(tidy) == len(pairs) and bitext.tidy(tidy) == tidy
    assert all(is_one_line(side) for pair in tidy for side in pair)


def test_a_long_document_is_composed_as_a_short_line_is():
    document = " ".join(["cafe\u0301"] * 1000)
    assert len(document) > MOST_COMPOSED
    assert tidy_line(document) == " ".join(["caf\u00e9"] * 1000)
    marks = "a" + "\u0301" * MOST_COMPOSED
    assert tidy_line(f"cafe\u0301 {marks}") == f"caf\u00e9 {marks}"


@given(PAIRS)
def test_cleaning_loses_nothing_but_what_it_counts(pairs):
    kept, counts = bitext.clean(pairs)
    steps = list(counts.values())
    assert steps == sorted(steps, reverse=True)
    assert (steps[0], steps[-1]) == (len(pairs), len(kept)) and len(set(kept)) == len(kept)
    assert set(kept) <= set(pairs) and all(a and b and a != b for a, b in kept)


@given(PAIRS, st.integers(1, 30))
def test_no_side_stands_in_two_splits(pairs, held_out):
    splits = bitext.split(pairs, held_out)
    assert sorted(pair for part in splits.values() for pair in part) == sorted(pairs)
    for side in (0, 1):
        keys = [{" ".join(p[side].casefold().split()) for p in part} for part in splits.values()]
        assert sum(map(len, keys)) == len(set().union(*keys))
    assert bitext.without(pairs, splits["valid"]) == [p for p in pairs if p not in splits["valid"]]
