"""What version 0.1 wrote is read, see fixtures/README.md."""

import csv
import json
import shutil

import torch
from conftest import ROOT, selfteach, train

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.cli import main

FIXTURES = ROOT / "tests" / "fixtures"
CHECKPOINT = FIXTURES / "checkpoint-0.1.pt"
STUDENT = FIXTURES / "student-0.1.pt"
RECORD = FIXTURES / "record-0.1.json"
DATA = FIXTURES / "data-0.1"
MODEL = (
    *("--encoder-layers", 2, "--decoder-layers", 1, "--student-layers", "1x1"),
    *("--encoder-embed-dim", 8, "--encoder-ffn-embed-dim", 8),
    *("--encoder-attention-heads", 1, "--decoder-attention-heads", 1),
)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_is_cut_and_averaged(tmp_path):
    cut, mean = tmp_path / "cut.pt", tmp_path / "mean.pt"
    assert main(["truncate", str(CHECKPOINT), "--layers", "1x1", "-o", str(cut)]) == 0
    assert same(Checkpoint.read(cut).weights, Checkpoint.read(STUDENT).weights)
    assert main(["average", str(CHECKPOINT), str(CHECKPOINT), "-o", str(mean)]) == 0
    assert same(Checkpoint.read(mean).weights, Checkpoint.read(CHECKPOINT).weights)
    assert main(["average", str(STUDENT), str(cut), "-o", str(mean), "--force"]) == 0
    assert same(Checkpoint.read(mean).weights, Checkpoint.read(STUDENT).weights)


def test_a_checkpoint_is_gone_on_from(tmp_path):
    shutil.copy(CHECKPOINT, tmp_path / "checkpoint_last.pt")
    log = train(DATA, tmp_path, *MODEL, "--max-epoch", 81).stdout
    assert "Loaded checkpoint" in log
    before, after = (
        torch.load(path, weights_only=True)
        for path in (CHECKPOINT, tmp_path / "checkpoint_last.pt")
    )
    updates = [state["optimizer_history"][-1]["num_updates"] for state in (before, after)]
    steps = [state["last_optimizer_state"]["state"][0]["step"] for state in (before, after)]
    assert 0 < updates[0] < updates[1] and steps == updates


def test_a_student_is_scored(tmp_path):
    old = json.loads(RECORD.read_text())
    output = tmp_path / "today.json"
    selfteach("score", STUDENT, DATA, "-o", output, "--about", "system=student", "seed=1")
    new = json.loads(output.read_text())
    assert old.keys() <= new.keys()
    fixed = ("bleu", "chrf", "parameters", "bytes", "sentences", "tokens", "updates", "seed")
    assert [new[field] for field in fixed] == [old[field] for field in fixed]
    translations = (path.with_suffix(".hyp.txt").read_text() for path in (output, RECORD))
    assert next(translations) == next(translations)


def test_a_record_is_reported(tmp_path, capsys):
    table = tmp_path / "table.csv"
    assert main(["report", str(RECORD), "--csv", str(table)]) == 0
    assert "| student |    1x1 |" in capsys.readouterr().out
    (row,) = csv.DictReader(table.read_text().splitlines())
    old = json.loads(RECORD.read_text())
    old |= old.pop("versions")
    assert row == {field: str(value) for field, value in old.items()}
