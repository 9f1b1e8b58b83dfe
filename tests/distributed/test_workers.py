"""Invariant 5: workers that share a batch, and updates that gather one, are as one worker."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import python, torchrun, train, train_as_two, train_command
from exact import assert_same, last
from reference import layer_zeros
from tiny import batch, build, checkpoint_of, gradients

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint

# Adam would blow up the rounding in gradients that are zero, such as those of k_proj.bias.
FLAGS = (
    *("--student-layers", "2x1,3", "--dropout", 0, "--optimizer", "sgd", "--lr", 0.3),
    *("--clip-norm", 1, "--max-epoch", 3, "--max-tokens", 9999),
)


def trained(data, folder, *flags, workers=1, backend="legacy_ddp"):
    """The parameters after training, and the training log's last line of figures."""
    if workers == 1:
        log = train(data, folder, *FLAGS, *flags).stdout
    else:
        flags = (*FLAGS, *flags, "--ddp-backend", backend)
        log = train_as_two(*train_command(data, folder, *flags)).stdout
    lines = [line for line in log.splitlines() if "| train |" in line]
    figures = dict(part.split(" ", 1) for part in lines[-1].split("| train | ")[1].split(" | "))
    return Checkpoint.read(folder / "checkpoint_last.pt").weights, figures


def assert_equal(found, expected):
    (weights, figures), (expected_weights, expected_figures) = found, expected
    for name, weight in expected_weights.items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=3e-6, msg=name)
    for name in ("loss", "nll_loss", "kl", "student_2x1_nll_loss", "gnorm"):
        if name in expected_figures:
            assert float(figures[name]) == pytest.approx(float(expected_figures[name]), abs=2e-3)


@pytest.mark.parametrize("sampling", [(), ("--student-sampling", 1)], ids=["all", "drawn"])
def test_half_a_batch_each_is_the_whole(data, tmp_path, sampling):
    """The 120 sentences of the text are one batch."""
    whole = trained(data, tmp_path / "whole", *sampling, "--batch-size", 120)
    halves = (*sampling, "--batch-size", 60)
    assert_equal(trained(data, tmp_path / "a", *halves, "--update-freq", 2), whole)
    assert_equal(trained(data, tmp_path / "b", *halves, workers=2), whole)


def test_a_worker_without_a_batch_changes_nothing(data, tmp_path):
    """Of three batches the last update has one: the other worker's dummy batch must not count."""
    flags = ("--batch-size", 40)
    one = trained(data, tmp_path / "one", *flags, "--update-freq", 2)
    assert_equal(trained(data, tmp_path / "two", *flags, workers=2), one)


def test_two_workers_that_go_on_are_the_two_that_never_stopped(data, tmp_path):
    """In the second epoch, to the last bit: students drawn, alpha rising, dropout on."""
    flags = (
        *("--student-layers", "2x1,3,1", "--student-sampling", 2),
        *("--alpha-warmup-updates", 20, "--dropout", 0.1),
        *("--optimizer", "adam", "--lr", 0.01, "--batch-size", 10, "--save-interval-updates", 4),
    )
    trained(data, tmp_path / "whole", *flags, workers=2)
    (tmp_path / "resumed").mkdir()
    shutil.copy(tmp_path / "whole/checkpoint_2_8.pt", tmp_path / "resumed/checkpoint_last.pt")
    trained(data, tmp_path / "resumed", *flags, workers=2)
    assert_same(last(tmp_path / "resumed"), last(tmp_path / "whole"))


def test_two_workers_prune_the_same_weights(data, tmp_path):
    """fairseq itself compares their gradients in every update, and would end the training."""
    flags = (
        *("--task", "translation_selfteach", "--pruning-sparsity", 0.5, "--pruning-interval", 2),
        *("--pruning-end-update", 9, "--batch-size", 10, "--optimizer", "adam", "--lr", 0.01),
    )
    weights, figures = trained(data, tmp_path, *flags, workers=2)
    zeros, numbers = layer_zeros(weights)
    assert zeros == round(numbers / 2) and figures["sparsity"] == "0.5"


def test_an_encoder_pass_of_its_own_that_is_computed_again(data, tmp_path):
    """By legacy_ddp alone: to pytorch_ddp its layers would be ready twice."""
    flags = ("--student-layers", "last2x1", "--checkpoint-activations", "--batch-size")
    whole = trained(data, tmp_path / "whole", *flags, 120)
    assert_equal(trained(data, tmp_path / "two", *flags, 60, workers=2), whole)
    with pytest.raises(AssertionError, match=r"last2x1 takes an .* use --ddp-backend legacy_ddp"):
        trained(data, tmp_path / "no", *flags, 60, workers=2, backend="pytorch_ddp")
    flags = ("--dropout", 0.1, "--student-layers", "2x1", *flags[2:], 60)
    with pytest.raises(AssertionError, match=r"--student-layers 2x1 takes an encoder pass of its"):
        trained(data, tmp_path / "drops", *flags, workers=2, backend="pytorch_ddp")

    flags = ("--checkpoint-activations", "--find-unused-parameters", "--batch-size", 60)
    with pytest.raises(AssertionError, match=r"leave one of them out, or use --ddp-backend legacy"):
        trained(data, tmp_path / "unused", *flags, workers=2, backend="pytorch_ddp")


STUDENTS = ("--student-layers", "2x1,3")


@pytest.mark.parametrize(
    "flags",
    [
        STUDENTS,
        (*STUDENTS, "--checkpoint-activations"),
        ("--student-layers", "last2x1,0+2x0+2,2"),
        (*STUDENTS, "--find-unused-parameters"),
        ("--criterion", "word_level_distillation", "--teacher"),
        ("--criterion", "r3f_translation", "--r3f-eps", 1e-7),  # noise that hides no difference
        ("--criterion", "intra_distillation", "--intra-schedule", "constant"),
        (*STUDENTS, "--teacher"),
    ],
    ids=["kept", "checkpointed", "any layers", "searched", "distilled", "r3f", "intra", "taught"],
)
def test_pytorch_ddp_averages_the_whole_gradient(tmp_path, flags):
    path = tmp_path / "gradients.pt"
    if flags[-1] == "--teacher":
        flags = (*flags, tmp_path / "teacher.pt")
        torch.save(checkpoint_of(build(seed=5)[0]), flags[-1])
    torchrun(python(), Path(__file__).with_name("ddp_step.py"), path, *flags)
    model, criterion = build(*flags)
    loss, _, _ = criterion(model.train(), batch(sentences=6))
    loss.backward()
    found, expected = torch.load(path), gradients(model)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(2 * found[name], gradient, rtol=1e-5, atol=1e-5, msg=name)
