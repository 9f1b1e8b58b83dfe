"""Pieces of a corpus, and what cannot become any."""

import re
import resource
import subprocess
import sys

import pytest
from conftest import ROOT, make_text
from fairseq.data import Dictionary

LONG = " ".join(f"w{i}" for i in range(1500))


def subwords(folder, *flags, **options):
    command = [sys.executable, ROOT / "recipes/subwords.py", folder, "xx", "en", "--types", "36"]
    command += ["--out", folder / "pieces", *flags]
    return subprocess.run(command, capture_output=True, text=True, **options)


def full_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))


@pytest.mark.parametrize(
    ("normalization", "changed"),
    # A character without a piece, sentencepiece's own for a space, a wide space; a fraction.
    [("identity", 3), ("nfkc", 4)],
)
def test_what_does_not_come_back_is_counted(tmp_path, normalization, changed):
    make_text(tmp_path)
    with open(tmp_path / "train.en", "a") as file:
        file.write("½ 1 \u2044 2\n")
    with open(tmp_path / "test.en", "a") as file:
        file.write("W1 ½\nW1 ☃\nW1\u2581W2\nW1\u3000W2\nW1 W2\n")
    result = subwords(tmp_path, "--types", "38", "--normalization", normalization)
    assert f"test.en: {changed} lines come back changed: " in result.stdout, result.stderr
    assert result.stdout.count("come back") == (1 if normalization == "identity" else 2)
    assert (tmp_path / "pieces/test.en").read_text().count("\n") == 26


def test_pieces_are_learnt_from_long_lines_too(tmp_path):
    """sentencepiece itself leaves out those of more than 4,192 bytes."""
    make_text(tmp_path)
    lines = (tmp_path / "train.xx").read_text().splitlines()
    (tmp_path / "train.xx").write_text("".join(f"{line} {'äöü ' * 999}\n" for line in lines))
    assert subwords(tmp_path).returncode == 0
    known = Dictionary.load(str(tmp_path / "pieces/dict.txt")).symbols
    assert {*"äöü"} <= {*"".join(known)}


def test_the_dictionary_is_as_large_as_asked_for(tmp_path):
    make_text(tmp_path)
    assert subwords(tmp_path).returncode == 0
    assert len(Dictionary.load(str(tmp_path / "pieces/dict.txt"))) == 36


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        ("valid", {}, r"valid.xx, line 20: [\d,]+ pieces, fairseq takes 1,023: shorten it, or"),
        ("test", {}, r"test.xx, line 22: "),
        ("train", {"preexec_fn": full_disk}, "spm.model: was not written whole: is the disk full"),
    ],
)
def test_what_cannot_work_gets_one_line(tmp_path, split, options, message):
    make_text(tmp_path)
    for language, line in (("xx", LONG), ("en", "short")):
        with open(tmp_path / f"{split}.{language}", "a") as file:
            file.write(line + "\n")
    before = set(tmp_path.iterdir())
    result = subwords(tmp_path, **options)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert re.search(message, result.stderr), result.stderr
    assert set(tmp_path.iterdir()) == before
