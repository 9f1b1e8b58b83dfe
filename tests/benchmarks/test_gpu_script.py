"""benchmarks/gpu.sh, tried out without a GPU."""

import os
import string
import subprocess
import tarfile

import pytest
from conftest import ROOT, install_commands

ALLOWED = set(f"{string.ascii_letters}{string.digits}._-")


def gpu(folder, part, code=0, **environment):
    """Its output files, by name."""
    environment = {"TINY": "1", "OUT": folder / "out", "CUDA_VISIBLE_DEVICES": "", **environment}
    result = subprocess.run(
        [ROOT / "benchmarks/gpu.sh", part],
        env={
            **install_commands(folder / "bin"),
            **{name: str(value) for name, value in environment.items()},
        },
        capture_output=True,
        text=True,
        # With two processors it would measure one thread and two.
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stderr, {path.name: path for path in (folder / "out").glob("*")}


@pytest.mark.slow
def test_models_are_trained_and_scored_at_once(data, tmp_path):
    models = 10
    files = gpu(tmp_path, "training", DATA=data)[1]
    assert len(files) <= 8 and all(set(name) <= ALLOWED for name in files)
    table = files["training.md"].read_text()
    assert (
        sum(line.startswith(("| selfteach=", "| plain")) for line in table.splitlines()) >= models
    )
    with tarfile.open(files["training-records.tgz"]) as records:
        assert len(records.getnames()) == 2 * models


def test_updates_are_measured(data, tmp_path):
    files = gpu(tmp_path, "updates", DATA=data)[1]
    assert {"tests.log", "stock.csv", "stock.md"} <= files.keys()
