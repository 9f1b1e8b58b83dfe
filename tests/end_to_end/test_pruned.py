"""Pruning in fairseq-train: as sparse as was asked for, killed or not."""

import json
import shutil

import pytest
import torch
from conftest import selfteach, train
from exact import assert_same, last
from reference import layer_zeros, scheduled_sparsity

# Of 36 updates: many follow the last pruning, in which momentum pulls at what is zero.
PRUNING = (
    *("--task", "translation_selfteach", "--pruning-sparsity", 0.6),
    *("--pruning-start-update", 4, "--pruning-end-update", 21, "--pruning-interval", 5),
)
FLAGS = (
    *(*PRUNING, "--student-layers", "2x1", "--dropout", 0.1, "--weight-decay", 0.1),
    *("--clip-norm", 1, "--batch-size", 10, "--max-epoch", 3, "--log-interval", 1),
)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The folder and the log of a run that is never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    keep = ("--save-interval-updates", 5, "--keep-interval-updates", -1)
    return folder, train(data, folder, *FLAGS, *keep).stdout


def zeros(path):
    """How many of the layers' weights are zero in a checkpoint, and how many weights there are."""
    return layer_zeros(torch.load(path, weights_only=True)["model"])


def test_it_is_as_sparse_as_scheduled_to_the_weight(whole):
    folder, log = whole
    for name, updates in (("1_5", 5), ("1_10", 10), ("2_15", 15), ("2_20", 20), ("last", 36)):
        found, weights = zeros(folder / f"checkpoint_{name}.pt")
        share = scheduled_sparsity(updates, sparsity=0.6, start=4, end=21, interval=5)
        assert found == round(share * weights)
        assert f"| sparsity {round(share, 4):g} |" in log or f"sparsity={round(share, 4):g}," in log
    assert found == round(0.6 * weights)


@pytest.mark.parametrize("stop", ["2_20", "3_30"], ids=["before the last pruning", "after"])
def test_a_run_that_goes_on_is_the_run_that_never_stopped(data, whole, tmp_path, stop):
    """Nothing but the zeros says which weights are pruned."""
    folder, _ = whole
    shutil.copy(folder / f"checkpoint_{stop}.pt", tmp_path / "checkpoint_last.pt")
    train(data, tmp_path, *FLAGS)
    assert_same(last(tmp_path), last(folder))


def test_in_half_precision(data, tmp_path):
    train(data, tmp_path, *FLAGS, "--bf16")
    found, weights = zeros(tmp_path / "checkpoint_last.pt")
    assert found == round(0.6 * weights)


def test_what_is_cut_is_sparse_and_its_record_says_so(data, whole, trained, tmp_path):
    folder, _ = whole
    selfteach("truncate", folder / "checkpoint_last.pt", "--layers", "2x1", "-o", tmp_path / "p.pt")
    cut = torch.load(tmp_path / "p.pt", weights_only=True)
    assert cut["cfg"]["task"]["_name"] == "translation" and "pruning" not in str(cut["cfg"])
    found, weights = layer_zeros(cut["model"])
    assert 0.4 * weights < found < 0.8 * weights
    for path in (tmp_path / "p.pt", trained / "checkpoint_last.pt"):
        selfteach("score", path, data, "-o", tmp_path / f"{path.stem}.json", "--beam", 1)
    record = json.loads((tmp_path / "p.json").read_text())
    assert record["sparsity"] == round(found / weights, 4)
    assert "sparsity" not in json.loads((tmp_path / "checkpoint_last.json").read_text())
