"""The bits a token of validation text, beside what fairseq says of them."""

import json
import re

import pytest
from conftest import USER_DIR, fairseq, selfteach, train

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
    log = fairseq("validate", data, "--path", student, *options)
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


def test_those_of_an_adaptive_softmax(data, tmp_path):
    """Which is trained, gone on with, cut and scored as all others are."""
    command = (
        *("train", data, "--user-dir", USER_DIR, "--save-dir", tmp_path / "run", "--cpu"),
        *("--arch", "transformer_tiny", "--encoder-layers", 2, "--decoder-layers", 2),
        *("--encoder-embed-dim", 16, "--encoder-ffn-embed-dim", 16, "--decoder-embed-dim", 16),
        *("--criterion", "adaptive_loss", "--adaptive-softmax-cutoff", "10,20"),
        *("--ddp-backend", "legacy_ddp", "--optimizer", "adam", "--lr", 0.01),
        *("--max-tokens", 256, "--num-workers", 0, "--no-epoch-checkpoints"),
        *("--required-batch-size-multiple", 1, "--no-progress-bar", "--log-format", "simple"),
    )
    fairseq(*command, "--max-epoch", 1)
    log = fairseq(*command, "--max-epoch", 2).stdout
    assert "Loaded checkpoint" in log
    said = re.findall(r"\| valid \| epoch 002 .*\| loss ([\d.]+)", log)[-1]
    last = tmp_path / "run/checkpoint_last.pt"
    selfteach("score", last, data, "-o", tmp_path / "r.json", "--", "--max-len-b", 5)
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["valid_bits"] == pytest.approx(float(said), abs=6e-4)
    selfteach("truncate", last, "--layers", 1, "-o", tmp_path / "1.pt")
    assert Checkpoint.read(tmp_path / "1.pt").layers.counts == (1, 1)


def test_sentences_beyond_the_tasks_own_length_are_translated(data, tmp_path):
    """A model of 2,048 positions takes them."""
    longest = ("--max-source-positions", 2048, "--max-target-positions", 2048)
    train(data, tmp_path / "run", "--student-layers", "2x1", "--max-update", 1, *longest)
    words = (data.parent / "train.xx").read_text().split() * 9
    for language in ("xx", "en"):
        text = " ".join(words[:1100]).lower() if language == "xx" else "W1"
        (tmp_path / f"test.{language}").write_text(f"{text}\n")
    fairseq(
        *("preprocess", "--source-lang", "xx", "--target-lang", "en", "--testpref"),
        *(tmp_path / "test", "--destdir", tmp_path / "bin"),
        *("--srcdict", data / "dict.xx.txt", "--tgtdict", data / "dict.en.txt"),
    )
    last = tmp_path / "run/checkpoint_last.pt"
    words = ("score", last, tmp_path / "bin", "-o", tmp_path / "r.json", "--beam", 1)
    selfteach(*words, "--", "--max-len-b", 5)
    assert json.loads((tmp_path / "r.json").read_text())["sentences"] == 1
