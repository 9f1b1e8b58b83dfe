"""Pruning: which weights, when, and that nothing brings them back, in whatever precision."""

import pytest
import torch
from fairseq import optim
from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationTask
from reference import layer_zeros, prunable, reference_pruned, scheduled_sparsity
from tiny import batch, build, checkpoint_of, settings, step

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.models.family import layer_matrices
from selfteach_fairseq.tasks.pruning import Schedule, prune
from selfteach_fairseq.tasks.translation import SelfteachTranslationConfig, SelfteachTranslationTask

DRAWN = torch.Generator().manual_seed(0)


def task(sparsity=0.5, start=0, end=3, interval=2):
    cfg = SelfteachTranslationConfig(
        pruning_sparsity=sparsity,
        pruning_start_update=start,
        pruning_end_update=end,
        pruning_interval=interval,
    )
    return SelfteachTranslationTask(cfg, Dictionary(), Dictionary())


@pytest.mark.parametrize("numbers", [(0.5, 0, 10, 1), (0.9, 3, 20, 5), (0.3, 7, 8, 100)])
def test_the_schedule_is_the_reference(numbers):
    schedule = Schedule(*numbers)
    previous = 0
    for updates in range(30):
        found = schedule.sparsity_after(updates)
        assert found == pytest.approx(scheduled_sparsity(updates, **schedule._asdict()))
        is_due = (updates - schedule.start) % schedule.interval == 0 or updates == schedule.end
        assert found == previous or is_due
        previous = found
    assert previous == schedule.sparsity


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sparsity", [0, 0.1, 0.5, 0.97])
def test_pruned_are_the_smallest_of_all(dtype, sparsity):
    """Half precision has many of one magnitude; a second pruning takes the first one's zeros in."""
    weights = [
        torch.randn(*shape, generator=DRAWN).mul(scale).to(dtype)
        for shape, scale in (((7, 5), 1), ((1, 9), 0.01), ((16, 33), 0.3))
    ]
    for share in (sparsity / 2, sparsity):
        expected = reference_pruned(weights, share)
        prune(weights, share)
        for found, wanted in zip(weights, expected, strict=True):
            assert torch.equal(found, wanted)


@pytest.mark.parametrize("arch", ["transformer", "transformer_selfteach"])
def test_the_matrices_of_the_layers_are_pruned_and_nothing_else(arch):
    model, _ = build(arch=arch, criterion="label_smoothed_cross_entropy")
    assert [*layer_matrices(model.state_dict())] == prunable(model.state_dict())
    assert [*layer_matrices(dict(model.named_parameters()))] == prunable(model.state_dict())


OWN, FAIRSEQS = SelfteachTranslationTask.optimizer_step, TranslationTask.optimizer_step


@pytest.mark.parametrize("pull", ["momentum", "gradient"])
@pytest.mark.parametrize("optimizer_step", [OWN, FAIRSEQS], ids=["ours", "fairseq's"])
def test_what_adam_would_bring_back_stays_zero(pull, optimizer_step):
    """fairseq's own step brings pruned weights back, also without a gradient."""
    flags = ("--optimizer", "adam", "--lr", "0.01", "--weight-decay", "0.1")
    model, criterion = build("--student-layers", "2x1")
    optimizer = optim.build_optimizer(settings(*flags).optimizer, [*model.parameters()])
    pruning = task()
    for update in range(3):
        step(model, criterion, batch(), update)
        pruning.optimizer_step(optimizer, model, update)
    zeros, weights = layer_zeros(model.state_dict())
    assert zeros == round(weights / 2)

    step(model, criterion, batch(), 3)
    if pull == "momentum":
        optimizer.multiply_grads(0)
    optimizer_step(pruning, optimizer, model, 3)
    left, _ = layer_zeros(model.state_dict())
    if optimizer_step is OWN:
        assert left == zeros
    else:
        assert left < 0.05 * zeros  # those of units that were never active


@pytest.mark.parametrize("update", [4, 50])
def test_what_a_run_goes_on_from_is_pruned_at_once(update):
    """A model that has never been pruned, between two prunings and after the last one."""
    model, criterion = build("--student-layers", "2x1")
    flags = ("--optimizer", "adam", "--lr", "0.01")
    optimizer = optim.build_optimizer(settings(*flags).optimizer, [*model.parameters()])
    step(model, criterion, batch())
    task(end=20, interval=10).optimizer_step(optimizer, model, 9 + update)
    zeros, weights = layer_zeros(model.state_dict())
    share = scheduled_sparsity(10 + update, sparsity=0.5, start=0, end=20, interval=10)
    assert zeros == round(share * weights) > 0


def test_before_the_start_a_zero_is_a_weight_as_others():
    model, criterion = build("--student-layers", "2x1")
    optimizer = optim.build_optimizer(
        settings("--optimizer", "sgd", "--lr", "0.1").optimizer, [*model.parameters()]
    )
    weight = model.decoder.layers[0].self_attn.out_proj.weight
    for updates, left in ((4, 0), (5, weight.numel())):
        torch.nn.init.zeros_(weight)
        step(model, criterion, batch())
        task(start=4, end=9).optimizer_step(optimizer, model, updates - 1)
        assert weight.eq(0).sum() == left


def of_fp16(cfg, parameters):
    return optim.FP16Optimizer.build_optimizer(cfg, parameters)


def memory_efficient(cfg, parameters):
    return optim.MemoryEfficientFP16Optimizer.build_optimizer(cfg, parameters)


@pytest.mark.parametrize(
    "wrap, flags, dtype, is_flat",
    [
        (of_fp16, ("--fp16",), torch.float16, True),
        (of_fp16, ("--fp16", "--fp16-no-flatten-grads"), torch.float16, False),
        (of_fp16, ("--bf16",), torch.bfloat16, False),
        (memory_efficient, ("--memory-efficient-fp16", "--fp16"), torch.float16, False),
        (memory_efficient, ("--memory-efficient-bf16", "--bf16"), torch.bfloat16, False),
    ],
    ids=["fp16", "not flat", "bf16", "memory-efficient fp16", "memory-efficient bf16"],
)
def test_in_half_precision(monkeypatch, wrap, flags, dtype, is_flat):
    """On the CPU: fairseq's optimizers alone, for its trainer computes in fp16 on a GPU only."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: None)  # a CPU's device.index
    cfg = settings("--optimizer", "adam", "--lr", "0.01", *flags)
    model = build("--student-layers", "2x1")[0].to(dtype)
    optimizer = wrap(cfg, [*model.parameters()])
    assert optimizer.has_flat_params == is_flat
    pruning = task()
    for update in range(6):
        optimizer.zero_grad()
        drawn = [torch.randn(p.shape, generator=DRAWN).to(dtype) for p in model.parameters()]
        pairs = zip(model.parameters(), drawn, strict=True)
        optimizer.backward(sum((parameter * slope).sum() for parameter, slope in pairs))
        optimizer.clip_grad_norm(1.0)
        pruning.optimizer_step(optimizer, model, update)
        zeros, weights = layer_zeros(model.state_dict())
        share = scheduled_sparsity(update + 1, sparsity=0.5, start=0, end=3, interval=2)
        assert zeros == round(share * weights)
        if wrap is of_fp16:  # what training goes on with is zero there, too
            optimizer._sync_fp32_params_to_fp16()
            assert layer_zeros(model.state_dict())[0] == zeros


@pytest.mark.parametrize(
    "numbers, message",
    [
        ((1, 0, 9, 1), "--pruning-sparsity 1: choose a share"),
        ((-0.1, 0, 9, 1), "--pruning-sparsity -0.1: "),
        ((0.5, 9, 9, 1), "--pruning-start-update 9 --pruning-end-update 9: the end must be above"),
        ((0.5, -1, 9, 1), "--pruning-start-update -1 "),
        ((0.5, 0, 9, 0), "--pruning-interval 0: must be 1 or more"),
        ((0.5, 0, None, 1), "--pruning-sparsity 0.5 needs --pruning-end-update"),
        ((0, 0, 9, 1), "--pruning-end-update 9 needs --pruning-sparsity: say which share"),
        ((0, 3, None, 100), "--pruning-start-update 3 needs --pruning-sparsity"),
        ((0, 0, None, 1), "--pruning-interval 1 needs --pruning-sparsity"),
    ],
)
def test_a_schedule_that_is_none_gets_one_line(numbers, message):
    with pytest.raises(ValueError, match=message) as refused:
        task(*numbers)
    assert "\n" not in str(refused.value)


def test_weights_in_parts_are_refused():
    """As --ddp-backend fully_sharded has them."""
    with pytest.raises(ValueError, match="no layer's weights are whole here: leave it out, or "):
        task().optimizer_step(None, torch.nn.Linear(3, 3), 0)


def test_a_checkpoint_says_how_sparse_it_is():
    model, _ = build("--student-layers", "2x1")
    state = checkpoint_of(model)
    assert Checkpoint.of(state).sparsity == 0
    prune([*layer_matrices(state["model"]).values()], 0.25)
    zeros, weights = layer_zeros(state["model"])
    assert Checkpoint.of(state).sparsity == zeros / weights == pytest.approx(0.25, abs=1e-3)
