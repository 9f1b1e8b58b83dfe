"""What is measured of an imported BERT: against the slow formulas of berts.py."""

import sys
from pathlib import Path

import berts
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import imported_bert


@pytest.fixture
def bert(tmp_path):
    return imported_bert.Imported(berts.write(tmp_path / "bert"), tmp_path / "imported")


def test_exact_is_what_bert_computes(bert):
    tokens, types = bert.tokens("a b c")
    assert types.tolist() == [0] * 5
    slow = torch.stack(berts.hidden_states(berts.weights(), ["[CLS]", "a", "b", "c", "[SEP]"]))
    exact = imported_bert.features(bert.exact, tokens)
    torch.testing.assert_close(exact, slow, rtol=0, atol=2e-5)


def test_scaled_embeddings_come_nearer(bert):
    imported, scaled = imported_bert.of_norms(bert, ["a b c", "é a"])
    assert imported.shape == scaled.shape == (4,)
    assert scaled[0] < imported[0] / 20  # later norms read no embeddings


def test_the_second_texts_type_counts(bert):
    _, types = bert.tokens("a b", "c")
    assert types.tolist() == [0, 0, 0, 0, 1, 1]
    (cosines,) = imported_bert.of_types(bert, [("a b", "c")])
    assert (cosines < 0.999).all()
    bert.of_second = torch.zeros_like(bert.of_second)
    (cosines,) = imported_bert.of_types(bert, [("a b", "c")])
    assert cosines[0] == pytest.approx(1) and cosines[1] < 0.999


def test_it_prints_both(tmp_path, capsys):
    (tmp_path / "texts").write_text("a b\nc\né\nb a c\n")
    imported_bert.main([str(berts.write(tmp_path / "bert")), str(tmp_path / "texts")])
    printed = capsys.readouterr().out
    assert "as imported" in printed and "without type 1" in printed
