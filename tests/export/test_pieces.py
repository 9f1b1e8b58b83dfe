"""Whether the pieces of a sentencepiece model are those of the data."""

import re

import sentencepiece
from conftest import ROOT
from exported import learn_pieces
from fairseq.data import Dictionary

from selfteach_fairseq.export import subwords


def test_a_larger_model_of_the_same_text_is_noticed(tmp_path, capsys):
    """It knows all pieces of the smaller one, and divides into others."""
    lines = (ROOT / "README.md").read_text().splitlines()
    small, large = (
        learn_pieces(lines, tmp_path / name, types, model_type="bpe")
        for name, types in (("small", 300), ("large", 900))
    )
    dictionary = Dictionary()
    model = sentencepiece.SentencePieceProcessor(model_file=str(small))
    for number in range(3, len(model)):
        dictionary.add_symbol(model.id_to_piece(number))
    subwords.check_fit([small], (dictionary, dictionary))
    assert not capsys.readouterr().err
    subwords.check_fit([large], (dictionary, dictionary))
    shown = capsys.readouterr().err
    assert re.fullmatch(r"note: \d+ of 897 pieces of .*large.model are in no dictionary.*\n", shown)
