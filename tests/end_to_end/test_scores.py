"""What `selfteach score` says of a test set, with the real fairseq-generate and a model of 0.1."""

import json
import shutil
import sys

import pytest
import torch
from conftest import ROOT, python
from sacrebleu.metrics import BLEU

from selfteach_fairseq.cli import main
from selfteach_fairseq.files import lines_of

FIXTURES = ROOT / "tests" / "fixtures"
SOURCE, TARGET = "sr@latin", "zh_CN.GB18030"


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    """The fixtures with Chinese for English, and codes as locales are named: (model, data)."""
    folder = tmp_path_factory.mktemp("chinese")
    data, codes = folder / "data", {"xx": SOURCE, "en": TARGET}
    data.mkdir()
    for path in (FIXTURES / "data-0.1").iterdir():
        first, *languages, kind = path.name.split(".")
        pair = "-".join(codes[code] for code in languages[0].split("-"))
        name = ".".join([first, pair, *(codes[code] for code in languages[1:]), kind])
        shutil.copy(path, data / name)
    # A piece, with no space before it, for each word of the joint dictionary.
    types = len((FIXTURES / "data-0.1/dict.en.txt").read_text().splitlines())
    pieces = [*(chr(0x4E00 + i) for i in range(types - 1)), "\u2581"]
    for code in codes.values():
        (data / f"dict.{code}.txt").write_text("".join(f"{piece} 1\n" for piece in pieces))
    state = torch.load(FIXTURES / "student-0.1.pt", weights_only=True)
    state["cfg"]["task"] |= {"source_lang": SOURCE, "target_lang": TARGET}
    torch.save(state, folder / "model.pt")
    return folder / "model.pt", data


@pytest.fixture
def scored(chinese, tmp_path, capsys, monkeypatch):
    """Scores into NAME.json; returns the record and what is printed."""
    model, data = chinese
    monkeypatch.setattr(sys, "executable", python())

    def scored(name, *words, data=data):
        output = tmp_path / f"{name}.json"
        code = main([str(word) for word in ("score", model, data, "-o", output, *words)])
        printed = capsys.readouterr()
        if code:
            (line,) = printed.err.splitlines()
            assert not output.exists()
            return None, line
        return json.loads(output.read_text()), printed.out

    return scored


def test_chinese_has_a_score_that_says_how_it_was_made(scored, tmp_path):
    record, printed = scored("r", "--", "--max-len-b", 20, "--cpu")
    assert (record["source"], record["target"]) == (SOURCE, TARGET)
    assert record["tokenizer"] == "zh" and "|tok:zh|" in record["bleu_signature"]
    assert record["options"] == "--max-len-b 20 --cpu" and "threads" in record["hardware"]
    assert printed.endswith(
        f"\nBLEU: {record['bleu_signature']}\nfairseq-generate: --max-len-b 20 --cpu\n"
    )
    translations = lines_of(tmp_path / "r.hyp.txt")
    assert not any(" " in line for line in translations)
    # As much as the words had whose place the characters take.
    assert record["bleu"] == json.loads((FIXTURES / "record-0.1.json").read_text())["bleu"]


def test_the_words_of_the_references_are_not_the_models_in_silence(scored):
    """--prefix-size gives the model the targets: the record and the table say so."""
    record, printed = scored("r", "--", "--prefix-size=100")
    assert record["bleu"] == pytest.approx(100) and record["options"] == "--prefix-size=100"
    assert "\nfairseq-generate: --prefix-size=100\n" in printed


def test_a_test_set_without_targets_has_no_score(chinese, scored, tmp_path):
    """As `fairseq-preprocess --only-source` leaves it."""
    only_source = tmp_path / "data"
    shutil.copytree(chinese[1], only_source)
    for path in only_source.glob(f"*-*.{TARGET}.???"):
        path.unlink()
    _, refusal = scored("r", data=only_source)
    assert refusal.endswith(f"{only_source}: its test has no targets: name --references")
    references = tmp_path / "references"
    words = ("--references", references)
    _, refusal = scored("r", *words, "--lenpen", "1,2", data=only_source)
    assert refusal.endswith("its valid has no targets to choose by: name one --lenpen")

    # Windows' mark before the text is no part of its first word.
    lines = ["\u4e08\u4e08\u4e07\u4e07"] * 4
    references.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\n" for line in lines).encode())
    record, _ = scored("marked", *words, "--tokenizer", "char", data=only_source)
    translations = lines_of(tmp_path / "marked.hyp.txt")
    expected = BLEU(tokenize="char").corpus_score(translations, [lines]).score
    assert record["bleu"] == round(expected, 2) > 0
    assert record["tokenizer"] == "char" and record["options"] == ""
