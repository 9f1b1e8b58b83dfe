"""Robust fine-tuning with real commands: what was cut out is trained further, and cut again."""

import re
import shutil

import pytest
import torch
from conftest import fairseq, selfteach, train
from exact import assert_same, last

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint

CRITERIA = {
    "r3f": ("--criterion", "r3f_translation", "--r3f-eps", 0.01, "--r3f-noise", "uniform"),
    "intra": ("--criterion", "intra_distillation", "--intra-passes", 2),
}


@pytest.fixture(scope="module")
def student(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "student.pt"
    selfteach("truncate", trained / "checkpoint_best.pt", "--layers", "2x1", "-o", path)
    return path


def refine(data, folder, student, name, *flags):
    return train(
        *(data, folder, "--finetune-from-model", student),
        *("--encoder-layers", 2, "--decoder-layers", 1, *CRITERIA[name]),
        *("--lr", 1e-3, "--dropout", 0.1, "--batch-size", 10, "--max-update", 16, *flags),
    )


@pytest.mark.parametrize("name", CRITERIA)
def test_a_cut_student_is_refined_killed_and_resumed(data, student, tmp_path, name):
    """To the last bit: the noise, the dropout and the adaptive weight are of the update."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    log = refine(data, whole, student, name, "--save-interval-updates", 3).stdout
    assert f"loading pretrained model from {student}" in log
    kls = re.findall(r"\| train \| .*\| kl ([\d.]+)", log)
    assert len(kls) == 2 and all(float(kl) > 0 for kl in kls)
    assert not re.search(r"\| valid \| .*\| kl ", log)
    resumed.mkdir()
    shutil.copy(whole / "checkpoint_1_3.pt", resumed / "checkpoint_last.pt")
    refine(data, resumed, student, name)
    assert_same(last(resumed), last(whole))

    # It began as the student, has moved, and is cut out as a model of stock fairseq.
    before = Checkpoint.read(student)
    refined = tmp_path / "refined.pt"
    selfteach("truncate", whole / "checkpoint_last.pt", "--layers", "2x1", "-o", refined)
    after = Checkpoint.read(refined)
    assert after.weights.keys() == before.weights.keys()
    moved = max((after.weights[n] - w).abs().max().item() for n, w in before.weights.items())
    assert 1e-4 < moved < 0.05
    assert after.cfg["criterion"]["_name"] == "label_smoothed_cross_entropy"
    assert not {"r3f", "intra"} & {key.split("_")[0] for key in after.cfg["criterion"]}
    output = fairseq("generate", data, "--path", refined, "--cpu", "--beam", 1).stdout
    assert output.count("\nH-") >= 16


def test_a_checkpoint_that_this_package_never_saw_is_refined(data, tmp_path):
    stock = ("--arch", "transformer_tiny", "--criterion", "label_smoothed_cross_entropy")
    train(data, tmp_path / "stock", *stock, "--max-update", 2, "--encoder-layers", 2)
    theirs = tmp_path / "stock/checkpoint_last.pt"
    flags = ("--encoder-layers", 2, "--decoder-layers", 3, "--lr", 1e-12, "--dropout", 0)
    refine(data, tmp_path / "refined", theirs, "r3f", *flags, "--max-update", 1)
    refined = Checkpoint.read(tmp_path / "refined/checkpoint_last.pt")
    for name, weight in Checkpoint.read(theirs).weights.items():
        torch.testing.assert_close(refined.weights[name], weight, rtol=0, atol=1e-9, msg=name)
