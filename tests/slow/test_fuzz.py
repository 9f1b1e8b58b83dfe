"""Broken files by the thousand: each is refused in one line, or read as what it was."""

import sys

import miniature
import pytest
import torch
from conftest import ROOT, run
from project import Project
from tiny import build, checkpoint_of

pytestmark = pytest.mark.slow
CASES = [
    ("checkpoint", "cuts", 100),
    ("checkpoint", "flips", 1000),
    ("checkpoint", "blocks", 300),
    ("checkpoint", "within", 1000),
    ("release", "cuts", 100),
    ("release", "flips", 1000),
    ("release", "blocks", 300),
    ("pair", "within", 1000),
]
# Line ends of other programs, both forms of accents, both directions, what shells and markup read.
TRAPS = {
    "xx": [
        *("a\u2028b w1", "w2 c\x85d", "e\x0bf\x0cw3", "w4 \u202eabc\u202c", "w5 e\u0301"),
        *("w6 \u200b", "w7 $(touch x)", "w8 '\"`", "w9 <s> </s> &lt;", "w10 \x1c\x1e\x07"),
    ],
    "en": [
        *("A B W1", "W2 C\u2029D", "E F\rW3", "W4 \u05d0\u05d1", "W5 \u00e9"),
        *("W6 \ufeff", "W7 \\x", "W8 '\"`", "W9 <pad>", "W10 \x1d\x7f"),
    ],
}
NAMES = {
    "cuts": "cut short",
    "flips": "with a flipped bit",
    "blocks": "with bytes lost, doubled or out of order",
    "within": "damaged within, under a right checksum",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    model, _ = build("--share-all-embeddings")
    torch.save(checkpoint_of(model, "--share-all-embeddings"), folder / "model.pt")
    pair = folder / "de-en.tgz"
    pair.write_bytes(miniature.pair_archive("de", miniature.files_of("de")))
    release = miniature.release(folder / "2014-01.tgz")
    return {"checkpoint": folder / "model.pt", "release": release, "pair": pair}


@pytest.mark.parametrize("reader, fault, count", CASES)
def test_broken_files(files, reader, fault, count, survived):
    script = ROOT / "tests" / "fuzz.py"
    result = run(sys.executable, script, reader, fault, files[reader], count)
    refused, _ = map(int, result.stdout.split())
    assert refused > count // 3
    kind = "a checkpoint" if reader == "checkpoint" else "an archive"
    survived(f"{kind} {NAMES[fault]}", count)


def test_hostile_text_in_odd_paths(tmp_path, survived):
    """Through every stage of a recipe; both sides stay in step."""
    folder = tmp_path / 'it\'s "a" project'
    folder.mkdir()
    project = Project(folder)
    for side in ("xx", "en"):
        with open(folder / f"train.{side}", "a", encoding="utf-8") as text:
            text.writelines(line + "\n" for line in TRAPS[side])
    project.finish("bitext-odd", TYPES="60")
    work = folder / "work" / "bitext-odd"
    for split in ("train", "valid", "test"):
        sides = [(work / "text" / f"{split}.{side}").read_bytes() for side in ("xx", "en")]
        pieces = [(work / "pieces" / f"{split}.{side}").read_bytes() for side in ("xx", "en")]
        assert len({content.count(b"\n") for content in (*sides, *pieces)}) == 1
        assert {len(c.decode().splitlines()) for c in sides} == {sides[0].count(b"\n")}
    for side in ("xx", "en"):
        log = (work / "logs" / "binarise.log").read_text()
        lines = (work / "text" / f"train.{side}").read_bytes().count(b"\n")
        assert f"train.{side}: {lines} sents" in log
    assert (work / "report.md").read_text().startswith("| system")
    survived("a recipe with hostile text in odd paths", 1)
