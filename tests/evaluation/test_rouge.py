"""ROUGE, beside its definition (Lin 2004), and where it shows."""

from collections import Counter
from itertools import combinations

import pytest
from fairseq.data import Dictionary
from test_significance import run, scored, table  # noqa: F401  scored is a fixture
from test_tables import RECORD, written

from selfteach_fairseq.cli import main
from selfteach_fairseq.evaluation import quality, rouge

# No word ends as the stemmer would have it otherwise.
SUMMARIES = ["the cat sat on a mat", "dog bit a man a man", "", "zoo", "a cat on a mat"]
REFERENCES = ["a cat on the mat sat", "a man bit a dog", "zoo", "Zoo!", "a cat on the mat"]


def f1(common, found, expected):
    return 2 * common / (found + expected) if common else 0.0


def reference_rouge(kind, summary, reference):
    """F1 of shared n-grams, or of the longest common subsequence, by trying all subsequences."""
    words, others = (text.lower().replace("!", "").split() for text in (summary, reference))
    if kind.startswith("rougeL"):
        common = max(
            (
                size
                for size in range(len(words) + 1)
                if {*combinations(words, size)} & {*combinations(others, size)}
            ),
            default=0,
        )
        return f1(common, len(words), len(others))
    n = int(kind[-1])
    grams, expected = (
        Counter(zip(*(x[i:] for i in range(n)), strict=False)) for x in (words, others)
    )
    return f1((grams & expected).total(), grams.total(), expected.total())


@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL"])
def test_the_definition(kind):
    pairs = [*zip(SUMMARIES, REFERENCES, strict=True)]
    expected = [100 * reference_rouge(kind, *pair) for pair in pairs]
    metric = rouge.Rouge(kind)
    found = [quality.score(metric, [summary], [reference]) for summary, reference in pairs]
    assert found == pytest.approx(expected) and len({*found}) > 2
    whole = quality.score(metric, SUMMARIES, REFERENCES)
    assert whole == pytest.approx(sum(expected) / len(expected))


def test_endings_do_not_count():
    metric = rouge.Rouge("rouge1")
    assert quality.score(metric, ["installing packages"], ["installed package"]) == 100
    assert "stemmer:porter" in str(metric.get_signature())


def test_sentences_of_a_summary_in_another_order():
    found = {
        kind: quality.score(rouge.Rouge(kind), ["a b\\nc d"], ["c d\\na b"])
        for kind in ("rougeL", "rougeLsum")
    }
    assert found["rougeLsum"] == 100 > found["rougeL"] > 0


@pytest.mark.parametrize("line", ["кот сидит на ковре", "猫が座る", "der кот сидит"])
def test_other_letters_than_it_counts_are_refused(line):
    """For rouge-score would say 0 of what is the same."""
    with pytest.raises(ValueError, match="--metric rouge counts words of the letters a to z"):
        quality.score(rouge.Rouge("rougeL"), [line], [line])
    assert quality.score(rouge.Rouge("rougeL"), ["à la mode"], ["à la mode"]) == 100


def test_numbers_of_pieces_are_no_words():
    pieces = Dictionary()
    for piece in (*map(str, range(50)), "madeupword0000", "<mask>"):
        pieces.add_symbol(piece)
    with pytest.raises(ValueError, match=r"say by which options .* -- --bpe gpt2"):
        rouge.check_words(pieces, joined=False)
    rouge.check_words(pieces, joined=True)
    for number in range(6):
        pieces.add_symbol(f"w{number}")
    rouge.check_words(pieces, joined=False)


def test_records_of_another_rouge_score_are_not_compared(tmp_path, capsys):
    of_rouge = {"rougeL": 38.3, "rougeL_signature": "nrefs:1|rouge-score:0.1.2"}
    other = {**of_rouge, "rougeL_signature": "nrefs:1|rouge-score:0.1.1"}
    paths = [
        str(written(tmp_path, {**RECORD, **fields, "system": name}, name))
        for name, fields in (("a", of_rouge), ("without", {}), ("b", other))
    ]
    assert main(["report", *paths[:2]]) == 0
    assert main(["report", *paths]) == 1
    assert "b has" in (error := capsys.readouterr().err) or "a has" in error
    assert "rougeL_signature" in error


def test_a_record_has_all_of_it():
    fields = quality.quality(SUMMARIES, REFERENCES, "13a", metric="rouge")
    assert {*rouge.NAMES} <= fields.keys() and "bleu" in fields
    assert not {*rouge.NAMES} & quality.quality(SUMMARIES, REFERENCES, "13a").keys()


def test_tables_show_it_where_all_records_have_it(tmp_path, capsys):
    scores = {"rouge1": 41.2, "rouge2": 20.1, "rougeL": 38.3, "rougeLsum": 39}
    scores["rougeL_signature"] = "nrefs:1|rouge-score:0.1.2"
    paths = [str(written(tmp_path, {**RECORD, **scores, "system": name}, name)) for name in "ab"]
    assert main(["report", *paths]) == 0
    head, _, row, *others = capsys.readouterr().out.splitlines()
    assert "ROUGE: nrefs:1|rouge-score:0.1.2" in others
    assert all(name in head for name in ("BLEU", "ROUGE-1", "ROUGE-2", "ROUGE-L")) and "38.3" in row
    paths.append(str(written(tmp_path, RECORD, "without")))
    assert main(["report", *paths]) == 0
    assert "ROUGE" not in capsys.readouterr().out


def test_what_is_tested(tmp_path, scored, capsys):  # noqa: F811
    paths = [scored("plain@2", 2, 6), scored("selfteach", 2, 2)]
    code, (row,) = run(tmp_path, paths, "--metric", "rouge")
    assert code == 0 and float(row["p"]) < 0.05
    assert 40 < float(row["base_rougeL"]) < float(row["rougeL"]) < 95
    printed = capsys.readouterr().out
    assert "ROUGE-L" in printed.splitlines()[0] and "\nROUGE-L: nrefs:1|bs:1000" in printed
