"""A run that diverges: one line says so, and what was saved before it is still there and finite."""

import shutil

import pytest
import torch
from conftest import train


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("checkpoint*.pt")}


@pytest.fixture(scope="module")
def before(trained, tmp_path_factory):
    """A folder with the checkpoints of a run of three epochs, and what they hold."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("diverging") / "run")
    return folder, files(folder)


# The first by the gradients of the second update at such a rate; the second by the validation after
# one such update, which is all that there is in an epoch.
WAYS = {
    "gradients": ((), "gradients are Nan/Inf"),
    "validation": (("--update-freq", 99), "--best-checkpoint-metric is nan in validation"),
}


@pytest.mark.parametrize("flags, why", WAYS.values(), ids=WAYS)
def test_a_run_that_diverges(data, before, flags, why):
    folder, saved = before
    result = train(
        *(data, folder, "--student-layers", "2x1", "--max-epoch", 5, "--reset-lr-scheduler"),
        *("--lr", 1e30, *flags),
        check=False,
    )
    assert "Loaded checkpoint" in result.stdout and result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"training diverged: {why}"), result.stderr
    assert f"{folder} has the checkpoints from before" in last and "lower --lr" in last
    assert "Traceback" not in result.stderr

    assert files(folder) == saved and saved.keys() == {"checkpoint_last.pt", "checkpoint_best.pt"}
    state = torch.load(folder / "checkpoint_last.pt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_before_there_is_a_checkpoint_none_is_promised(data, tmp_path):
    flags = ("--student-layers", "2x1", "--lr", 1e30, "--update-freq", 99)
    result = train(data, tmp_path, *flags, check=False)
    line = result.stderr.splitlines()[-1]
    assert line.startswith("training diverged: ") and result.returncode == 1
    assert f"{tmp_path} has no checkpoint yet: start anew with a lower --lr" in line
    assert not files(tmp_path)
