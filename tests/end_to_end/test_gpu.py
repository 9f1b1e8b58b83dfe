"""What only a GPU can run: the loss on it, and the trainer's half precisions."""

import json
import sys

import pytest
import torch
from conftest import ROOT, run, selfteach, train_command
from reference import layer_zeros, reference_loss
from tiny import batch, build

from selfteach_fairseq.criterions.losses import self_teaching_loss
from selfteach_fairseq.criterions.terms import Objective
from selfteach_fairseq.importance.importance import part_importance

sys.path.insert(0, str(ROOT / "benchmarks"))

import shapes
import updates

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float32, 1e-4), (torch.bfloat16, 0.03), (torch.float16, 0.004)]
)
@pytest.mark.parametrize("autocast", [False, True])
def test_the_loss_is_the_reference(dtype, tolerance, autocast):
    objective = Objective(0.1, 0.7, 0.4, "symmetric", "both", 2.0)
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(*shape, generator=generator) for shape in ((3, 50, 16), (101, 16))]
    target = torch.randint(101, (50,), generator=generator)

    doubles = [tensor.double().requires_grad_() for tensor in (*drawn[0], drawn[1])]
    *models, weight = doubles
    full, *students = [model @ weight.t() for model in models]
    expected = reference_loss(full, students, target, **vars(objective))["loss"]
    expected_grads = torch.autograd.grad(expected, doubles)

    kept = torch.float32 if autocast else dtype
    leaves = [tensor.detach().to("cuda", kept).requires_grad_() for tensor in doubles]
    half = dtype != torch.float32
    with torch.autocast("cuda", dtype=dtype if half else None, enabled=autocast and half):
        found = self_teaching_loss(
            leaves[0], leaves[1:-1], leaves[-1], target.cuda(), objective, chunk_tokens=16
        ).loss
    scale = 2.0**10
    grads = torch.autograd.grad(found * scale, leaves)
    torch.testing.assert_close(found.cpu().double(), expected, rtol=tolerance, atol=0)
    for gradient, wanted in zip(grads, expected_grads, strict=True):
        bound = tolerance * wanted.abs().max().item()
        gradient = gradient.cpu().double() / scale
        torch.testing.assert_close(gradient, wanted, rtol=tolerance, atol=bound)


@pytest.mark.parametrize("precision", ["--fp16", "--bf16", "--amp"])
def test_half_precision_trains_what_can_be_cut(data, tmp_path, precision):
    flags = ("--student-layers", "2x1", "--max-epoch", 8, precision)
    words = [word for word in train_command(data, tmp_path, *flags) if word != "--cpu"]
    log = run(*words).stdout
    losses = [
        float(line.split(" loss ")[1].split(" ")[0])
        for line in log.splitlines()
        if "| train |" in line and " loss " in line
    ]
    assert losses[-1] < 0.9 * losses[0]
    selfteach(
        *("truncate", tmp_path / "checkpoint_last.pt", "--layers", "2x1"),
        *("-o", tmp_path / "student.pt"),
    )


def train_on_gpu(data, folder, *flags, **options):
    words = train_command(data, folder, "--student-layers", "2x1", *flags)
    return run(*(word for word in words if word != "--cpu"), **options)


def test_a_storm_of_overflows_passes(data, tmp_path):
    """From a loss scale that no gradient fits, fairseq skips updates until it does."""
    flags = ("--fp16", "--fp16-init-scale", 2**30, "--max-epoch", 8)
    log = train_on_gpu(data, tmp_path, *flags).stdout
    assert log.count("gradient overflow detected") > 3
    model = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)["model"]
    assert all(tensor.isfinite().all() for tensor in model.values())


@pytest.mark.parametrize("precision", ["--fp16", "--bf16", "--amp"])
def test_a_run_that_diverges_leaves_the_last_good_checkpoint(data, tmp_path, precision):
    train_on_gpu(data, tmp_path, precision, "--max-epoch", 1)
    saved = (tmp_path / "checkpoint_last.pt").read_bytes()
    flags = (precision, "--lr", 1e30, "--reset-lr-scheduler", "--max-epoch", 99)
    result = train_on_gpu(data, tmp_path, *flags, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("training diverged: ")
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == saved


@pytest.mark.parametrize("precision", ["--fp16", "--bf16", "--memory-efficient-fp16", "--amp"])
def test_what_is_pruned_stays_so(data, tmp_path, precision):
    """In fp16 the smallest weights may round to zero, too."""
    flags = ("--task", "translation_selfteach", "--pruning-sparsity", 0.5)
    schedule = ("--pruning-interval", 2, "--pruning-end-update", 5, "--max-epoch", 8)
    train_on_gpu(data, tmp_path, precision, *flags, *schedule)
    model = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)["model"]
    zeros, weights = layer_zeros(model)
    assert round(weights / 2) <= zeros < 0.501 * weights


def test_importance_is_what_it_is_on_the_cpu():
    model, sample = build()[0].eval(), batch()
    expected, loss = part_importance(model, [sample])
    found, loss_there = part_importance(model.cuda(), [sample])
    assert found == pytest.approx(expected, rel=1e-3) and loss_there == pytest.approx(loss)


def test_the_peak_of_an_update_holds_what_is_freed_before_it_ends():
    """Such as the log-probabilities of all types for all tokens, in single precision."""
    shape = shapes.Shape("many types", 64, 64, 20_000, 4096)
    assert updates.peak_memory(shape, "plain") > 4 * shape.tokens * shape.types


def test_a_record_says_what_has_translated(data, trained, tmp_path):
    found = {}
    for name, options in (("gpu", ()), ("cpu", ("--", "--cpu"))):
        output = tmp_path / f"{name}.json"
        selfteach("score", trained / "checkpoint_best.pt", data, "-o", output, *options)
        found[name] = json.loads(output.read_text())["hardware"]
    assert found["gpu"] == torch.cuda.get_device_name()
    assert found["cpu"].endswith(" threads")
