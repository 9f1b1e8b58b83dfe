"""The bits a token of validation text, beside what fairseq says of them."""

import json
import re

import pytest
from conftest import run, selfteach

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.checkpoints.data import dictionaries
from selfteach_fairseq.evaluation import likelihood

PAIR = ("xx", "en")


@pytest.fixture(scope="module")
def student(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "student.pt"
    selfteach("truncate", trained / "checkpoint_best.pt", "--layers", "2x1", "-o", path)
    return path


def test_they_are_those_of_fairseq_validate(data, student):
    model = Checkpoint.read(student).stock()
    options = ("--task", "translation", "--valid-subset", "valid", "--max-tokens", 400, "--cpu")
    options += ("--required-batch-size-multiple", 1)  # or it leaves sentences out
    log = run("fairseq-validate", data, "--path", student, *options)
    said = re.search(r"nll_loss (\d+\.\d+)", log.stdout + log.stderr)
    found = likelihood.bits(model, data, "valid", PAIR, dictionaries(model, data, PAIR))
    assert found == pytest.approx(float(said[1]), abs=6e-4) and found > 0.1


def test_a_record_has_them(data, student, tmp_path):
    selfteach("score", student, data, "-o", tmp_path / "a.json", "--", "--max-len-b", 5)
    record = json.loads((tmp_path / "a.json").read_text())
    model = Checkpoint.read(student).stock()
    expected = likelihood.bits(model, data, "valid", PAIR, dictionaries(model, data, PAIR))
    assert record["valid_bits"] == pytest.approx(expected, abs=1e-4)
    assert 0 < record["chrfpp"] <= 100 and "nw:2" in record["chrfpp_signature"]
