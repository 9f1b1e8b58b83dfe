"""Which checkpoints have a mean: states of one run, each once."""

import pytest
import torch
from tiny import build, checkpoint_of

from selfteach_fairseq.cli import main

PLAIN = {"criterion": "label_smoothed_cross_entropy"}


@pytest.fixture
def saved(tmp_path):
    """Writes a checkpoint of so many updates; returns its path."""

    def saved(name, updates, seed, *flags, **choices):
        state = checkpoint_of(build(*flags, seed=seed, **choices)[0], *flags, **choices)
        state["optimizer_history"][-1]["num_updates"] = updates
        torch.save(state, tmp_path / f"{name}.pt")
        return str(tmp_path / f"{name}.pt")

    return saved


def average(tmp_path, *paths):
    output = tmp_path / "mean.pt"
    code = main(["average", *paths, "-o", str(output)])
    return torch.load(output, weights_only=True)["model"] if code == 0 else None


def test_each_state_of_the_training_counts_once(tmp_path, saved, capsys):
    paths = [saved("checkpoint1", 10, 1), saved("checkpoint2", 20, 2)]
    expected = average(tmp_path, *paths)
    assert capsys.readouterr().out == f"{tmp_path}/mean.pt: mean of 2 checkpoints\n"
    (tmp_path / "mean.pt").unlink()
    copies = [saved("checkpoint_best", 20, 2), saved("checkpoint_last", 20, 2)]
    found = average(tmp_path, *paths, *copies)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    counted, left_out = capsys.readouterr().out.splitlines()
    assert counted.endswith("mean of 2 checkpoints")
    assert left_out == f"left out, as copies of others among them: {', '.join(copies)}"


def test_two_states_of_one_update_are_of_two_runs(tmp_path, saved, capsys):
    assert average(tmp_path, saved("a", 10, 1), saved("b", 20, 2), saved("c", 10, 3)) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "c.pt: has other weights than" in line and "a.pt after as many updates (10)" in line


@pytest.mark.parametrize(
    "flags, setting",
    [
        (("--encoder-attention-heads", 4), "encoder_attention_heads is 4, and that of"),
        (("--activation-fn", "gelu"), "activation_fn is gelu, and that of"),
        (("--no-scale-embedding",), "no_scale_embedding is True, and that of"),
    ],
)
@pytest.mark.parametrize("arch", ["transformer_selfteach", "transformer"])
def test_other_settings_are_of_another_model(tmp_path, saved, capsys, arch, flags, setting):
    choices = {**PLAIN, "arch": arch}
    paths = [saved("a", 10, 1, **choices), saved("b", 20, 2, *flags, **choices)]
    assert average(tmp_path, *paths) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "b.pt: its " in line and setting in line and line.endswith("average one run's")


def test_students_of_other_layers_are_not_averaged(tmp_path, saved, capsys):
    """Which have the same shape."""
    cuts = []
    for name, updates, layers in (("a", 10, "2x1"), ("b", 20, "2x1"), ("c", 20, "0+2x1")):
        cuts.append(str(tmp_path / f"{name}-{layers}.pt"))
        trained = saved(name, updates, updates)
        assert main(["truncate", trained, "--layers", layers, "-o", cuts[-1]]) == 0
    assert average(tmp_path, *cuts[:2]) is not None
    (tmp_path / "mean.pt").unlink()
    capsys.readouterr()
    assert average(tmp_path, cuts[0], cuts[2]) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("average one student's") and "is made of other layers" in line


def test_how_updates_were_computed_may_differ(tmp_path, saved):
    assert average(tmp_path, saved("a", 10, 1), saved("b", 20, 2, "--stock-update")) is not None


@pytest.mark.parametrize("arch", ["transformer_selfteach", "transformer"])
def test_what_training_alone_reads_may_differ(tmp_path, saved, arch):
    """A run that went on with less dropout, for longer."""
    choices = {**PLAIN, "arch": arch}
    later = ("--dropout", 0.3, "--max-epoch", 9, "--save-dir", "elsewhere", "--patience", 3)
    paths = [saved("a", 10, 1, **choices), saved("b", 20, 2, *later, **choices)]
    assert average(tmp_path, *paths) is not None
