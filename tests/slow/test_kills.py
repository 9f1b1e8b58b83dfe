"""SIGKILL at random moments: nothing is lost, nothing is half there, the result is the same."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import ENVIRONMENT, selfteach, train, train_command
from project import Project, results
from tiny import build, checkpoint_of

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint

pytestmark = pytest.mark.slow
RANDOM = random.Random(0)


class Victim:
    """A command in the background, its output in a file, to be killed with all its children."""

    def __init__(self, log, *command, env=ENVIRONMENT):
        self.log = log
        with open(log, "w") as file:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, condition):
        while self.process.poll() is None and not condition():
            time.sleep(0.001)

    def kill_after(self, seconds):
        """Whether it was still running then."""
        try:
            return self.process.wait(seconds) is None
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return True

    def output(self):
        return self.log.read_text()


def test_training(data, tmp_path, survived):
    flags = (
        *("--student-layers", "2x1,3", "--student-sampling", 1, "--dropout", 0.1),
        *("--batch-size", 10, "--max-epoch", 4, "--save-interval-updates", 1),
        *("--keep-interval-updates", 2, "--log-interval", 1),
    )
    train(data, tmp_path / "whole", *flags)
    folder, kills, saved, killed = tmp_path / "killed", 0, 0, True
    while killed:
        run = Victim(tmp_path / "log", *train_command(data, folder, *flags))
        run.wait_for(lambda: "| train_inner |" in run.output())  # noqa: B023
        killed = run.kill_after(RANDOM.uniform(0, 0.4))
        kills += killed
        updates = re.findall(r"Saved checkpoint .* @ (\d+) updates", run.output())
        saved = max([saved, *map(int, updates)])
        for path in folder.glob("*.pt"):
            Checkpoint.read(path)
        if saved:
            last = Checkpoint.read(folder / "checkpoint_last.pt")
            assert last.updates >= saved
    assert run.process.returncode == 0, run.output()
    assert kills > 10
    whole = Checkpoint.read(tmp_path / "whole" / "checkpoint_last.pt")
    assert all(torch.equal(t, last.weights[name]) for name, t in whole.weights.items())
    survived("SIGKILL while training and saving", kills)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint that takes a while to write, and the command that makes one of it."""
    flags = ("--encoder-embed-dim", 512, "--encoder-ffn-embed-dim", 2048)
    path = tmp_path_factory.mktemp("large") / "checkpoint.pt"
    torch.save(checkpoint_of(build(*flags)[0], *flags), path)
    return path


@pytest.mark.parametrize("command", ["truncate", "average"])
def test_a_command_that_writes_a_checkpoint(large, tmp_path, command, survived):
    options = ("--layers", 2) if command == "truncate" else ()
    words = (command, large, *options, "-o")
    selfteach(*words, tmp_path / "whole.pt")
    folder, kills = tmp_path / "killed", 0
    folder.mkdir()
    output = folder / "output.pt"
    for _ in range(12):
        run = Victim(
            tmp_path / "log", sys.executable, "-m", "selfteach_fairseq.cli", *words, output
        )
        files = len(list(folder.iterdir()))
        run.wait_for(lambda: len(list(folder.iterdir())) > files)  # noqa: B023
        kills += run.kill_after(RANDOM.uniform(0, 0.05))
        if output.exists():
            assert output.read_bytes() == (tmp_path / "whole.pt").read_bytes()
            output.unlink()
    assert kills > 3
    selfteach(*words, output)
    expected, found = (Checkpoint.read(path) for path in (tmp_path / "whole.pt", output))
    assert all(torch.equal(t, found.weights[name]) for name, t in expected.weights.items())
    survived(f"SIGKILL while `selfteach {command}` writes", kills)


def test_score(data, trained, tmp_path, survived):
    words = ("score", trained / "checkpoint_best.pt", data, "--beam", 2)
    start = time.monotonic()
    selfteach(*words, "-o", tmp_path / "whole.json")
    duration = time.monotonic() - start
    record, kills = tmp_path / "killed.json", 0
    for _ in range(8):
        run = Victim(
            *(tmp_path / "log", sys.executable, "-m", "selfteach_fairseq.cli"),
            *(*words, "-o", record, "--force"),
        )
        kills += run.kill_after(RANDOM.uniform(0.3, 1.1) * duration)
        if record.exists():
            assert "bleu" in json.loads(record.read_text())
            assert len((tmp_path / "killed.hyp.txt").read_text().splitlines()) == 21
    assert kills > 3
    selfteach(*words, "-o", record, "--force")
    expected, found = (
        json.loads((tmp_path / f"{n}.json").read_text()) for n in ("whole", "killed")
    )
    assert (found["bleu"], found["chrf"]) == (expected["bleu"], expected["chrf"])
    survived("SIGKILL while `selfteach score` runs", kills)


def test_recipe(tmp_path, survived):
    """From the text to the tables, killed again and again, each time a little later."""
    (tmp_path / "a project").mkdir()
    project = Project(tmp_path / "a project")
    start = time.monotonic()
    project.finish("bitext-whole")
    duration = time.monotonic() - start
    kills, killed = 0, True
    while killed:
        run = Victim(
            *(tmp_path / "log", project.folder / "recipes/run.sh", "bitext-killed"),
            env=project.environment,
        )
        killed = run.kill_after(RANDOM.uniform(0, 0.25) * duration)
        kills += killed
    assert run.process.returncode == 0, run.output()
    assert kills > 5
    whole, found = (results(project.folder / "work" / f"bitext-{n}") for n in ("whole", "killed"))
    assert whole.keys() == found.keys()
    assert [name for name in whole if whole[name] != found[name]] == []
    survived("SIGKILL while a recipe runs, in all its stages", kills)
