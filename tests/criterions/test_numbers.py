"""Numbers gone wrong: next to fairseq's criterion in fairseq's trainer, and next to the reference.

`label_smoothed_cross_entropy` gives the same result or the same error; where it gives NaN though
the loss is finite, ours gives the loss.
"""

import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from fairseq.logging import metrics
from fairseq.optim.fp16_optimizer import FP16Optimizer
from reference import reference_loss
from tiny import PAD, batch, build, settings, trainer

from selfteach_fairseq.criterions.losses import self_teaching_loss
from selfteach_fairseq.criterions.terms import Objective

STUDENT = ("--student-layers", "2x1")
OFF = (*STUDENT, "--alpha", 0, "--student-ce", 0)
PLAIN = {"criterion": "label_smoothed_cross_entropy"}


def no_target(sample):
    sample["target"].fill_(PAD)
    sample["net_input"]["prev_output_tokens"].fill_(PAD)
    return {**sample, "ntokens": 0}


def no_token(sample):
    sample["net_input"]["src_tokens"].fill_(PAD)
    return no_target(sample)


def no_sentence(sample):
    inputs = {key: value[:0] for key, value in sample["net_input"].items()}
    return {"net_input": inputs, "target": sample["target"][:0], "ntokens": 0, "nsentences": 0}


def end_of_sentence_alone(sample):
    end = torch.tensor([[2]])
    inputs = {"src_tokens": end, "src_lengths": torch.tensor([1]), "prev_output_tokens": end}
    return {"net_input": inputs, "target": end, "ntokens": 1, "nsentences": 1}


def longest(sample):
    return batch(source_length=12, target_length=12)


def too_long(sample):
    return batch(source_length=13)


LIMIT = (
    *("--max-source-positions", 12, "--max-target-positions", 12),
    *("--encoder-learned-pos", "--decoder-learned-pos"),
)
# What becomes of the batch; fairseq's flags; what fairseq's own criterion makes of it.
BATCHES = {
    "an empty batch": (lambda sample: {}, (), "nothing learnt"),
    "no sentence": (no_sentence, (), "RuntimeError: cannot reshape tensor of 0 elements"),
    "padded targets alone": (no_target, (), "nothing learnt"),
    "padding alone": (no_token, (), "SystemExit: training diverged: gradients are Nan/Inf"),
    "one token": (end_of_sentence_alone, (), "learnt"),
    "the longest source": (longest, LIMIT, "learnt"),
    "a source too long": (too_long, LIMIT, "IndexError: index out of range"),
    "a longer prefix": (lambda sample: sample, ("--ignore-prefix-size", 99), "nothing learnt"),
    "a prefix, by sentences": (
        *(lambda sample: sample, ("--ignore-prefix-size", 6, "--sentence-avg")),
        "nothing learnt",
    ),
}
WEIGHTS = {
    f"{value} in {name}": (name, value)
    for name in ("encoder.layers.3.fc1.weight", "decoder.layers.0.fc2.bias")
    for value in (float("nan"), float("inf"))
}


def outcome(flags, folder, change, weight=None, **choices):
    """What one training step and one of validation log and learn, or how they end."""
    metrics.reset()
    run = trainer(*flags, "--report-accuracy", save_dir=folder, **choices)
    run.reset_dummy_batch(batch(seed=3))
    parameters = dict(run.model.named_parameters())
    if weight:
        parameters[weight[0]].data.view(-1)[0] = weight[1]
    before = {name: parameter.data.clone() for name, parameter in parameters.items()}
    try:
        logged = run.train_step([change(batch())]), run.valid_step(change(batch()))
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}", None, None
    # Not k_proj.bias, whose true gradient is zero.
    learnt = {n: p.data for n, p in parameters.items() if "k_proj.bias" not in n}
    moved = any(not torch.equal(tensor, before[name]) for name, tensor in learnt.items())
    return "learnt" if moved else "nothing learnt", logged, learnt


@pytest.mark.parametrize("change, flags, expected", BATCHES.values(), ids=BATCHES)
def test_a_batch_ends_as_with_fairseqs_criterion(tmp_path, change, flags, expected):
    end, logged, learnt = outcome(flags, tmp_path, change, **PLAIN)
    assert end.startswith(expected)
    off_end, off_logged, off_learnt = outcome((*OFF, *flags), tmp_path, change)
    assert off_end == end
    torch.testing.assert_close(off_learnt, learnt, rtol=1e-4, atol=1e-5)
    if logged:
        for ours, theirs in zip(off_logged, logged, strict=True):
            common = {key: float(ours[key]) for key in theirs}
            expected = {key: float(value) for key, value in theirs.items()}
            assert common == pytest.approx(expected, abs=2e-3, nan_ok=True)

    on_end, _, on_learnt = outcome((*STUDENT, *flags), tmp_path, change)
    assert on_end == end
    assert all(tensor.isfinite().all() for tensor in (on_learnt or {}).values())


@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
def test_a_weight_that_is_not_finite_ends_the_run(tmp_path, weight):
    ends = [
        outcome(flags, tmp_path, lambda sample: sample, weight, **choices)[0]
        for flags, choices in (((), PLAIN), (OFF, {}), (STUDENT, {}))
    ]
    assert ends[0].startswith("SystemExit: training diverged: gradients are Nan/Inf, after update")
    assert ends == ends[:1] * 3


def draw(size, weight_size, dtype, tokens=7, features=5, types=11):
    generator = torch.Generator().manual_seed(0)
    models = [torch.randn(tokens, features, generator=generator) * size for _ in range(3)]
    weight = torch.randn(types, features, generator=generator) * weight_size
    target = torch.randint(types, (tokens,), generator=generator)
    leaves = [tensor.to(dtype).requires_grad_() for tensor in (*models, weight)]
    return leaves, target


def assert_reference(leaves, target, tolerance):
    objective = Objective(0.1, 0.7, 0.4, "symmetric")
    *models, weight = leaves
    found = self_teaching_loss(models[0], models[1:], weight, target, objective).loss
    doubles = [leaf.detach().double().requires_grad_() for leaf in leaves]
    full, *students = [model @ doubles[-1].t() for model in doubles[:-1]]
    expected = reference_loss(full, students, target, **vars(objective))["loss"]
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=0)
    grads = torch.autograd.grad(found, leaves)
    for grad, wanted in zip(grads, torch.autograd.grad(expected, doubles), strict=True):
        bound = tolerance * wanted.abs().max().item()
        torch.testing.assert_close(grad.double(), wanted, rtol=tolerance, atol=bound)


def fairseqs_loss(full, weight, target):
    log_probs = torch.nn.functional.linear(full, weight).float().log_softmax(-1)
    return label_smoothed_nll_loss(log_probs, target, 0.1)[0]


def test_logits_beyond_half_precision():
    """Up to 1e6 and more, from features and weights that fit: fairseq's projection overflows."""
    leaves, target = draw(3e3, 2e2, torch.float16)
    assert (leaves[0].double() @ leaves[-1].double().t()).abs().max() > 1e6
    assert fairseqs_loss(leaves[0], leaves[-1], target).isnan()
    assert_reference(leaves, target, 0.02)
    assert_reference(*draw(3e3, 2e2, torch.bfloat16), 0.03)


def test_a_softmax_that_is_saturated():
    """Logits of 1e4 apart: every probability but one rounds to 0."""
    leaves, target = draw(1e2, 1e2, torch.float32)
    probabilities = (leaves[0] @ leaves[-1].t()).softmax(-1)
    assert probabilities.count_nonzero() == len(target) and probabilities.amax() == 1
    assert_reference(leaves, target, 1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("leaf", range(4), ids=["full", "student", "other student", "weight"])
def test_what_is_not_finite_shows_in_the_loss_and_the_gradient(leaf, value):
    leaves, target = draw(1, 1, torch.float16)
    leaves[leaf].data.view(-1)[2] = value
    objective = Objective(0.1, divergence="kl")
    loss = self_teaching_loss(leaves[0], leaves[1:-1], leaves[-1], target, objective).loss
    assert not loss.isfinite()
    grads = torch.autograd.grad(loss, leaves)
    assert not all(grad.isfinite().all() for grad in grads)


def half_steps(flags, scale, factor=1.0, **choices):
    """Overflows until an update of a model in fp16 by fairseq's optimizer, and what it learns."""
    model, criterion = build(*flags, **choices)
    model.half().train()
    fp16 = ("--fp16", "--fp16-init-scale", scale, "--fp16-no-flatten-grads")
    cfg = settings(*fp16, "--optimizer", "sgd", "--lr", 0.1)
    optimizer = FP16Optimizer.build_optimizer(cfg, list(model.parameters()), flatten=False)
    for overflows in range(60):
        optimizer.zero_grad()
        loss, size, _ = criterion(model, batch())
        optimizer.backward(loss * factor)
        optimizer.multiply_grads(1 / size)
        try:
            optimizer.clip_grad_norm(0.0)
        except OverflowError:
            continue
        optimizer.step()
        names = [name for name, _ in model.named_parameters()]
        learnt = dict(zip(names, optimizer.fp32_params, strict=True))
        return overflows, {n: p.data for n, p in learnt.items() if "k_proj.bias" not in n}


def test_a_storm_of_overflows_passes():
    """The loss scale falls from 2^40 until the gradients fit into fp16, as for fairseq's loss."""
    overflows, learnt = half_steps((), 2**40, **PLAIN)
    off_overflows, off_learnt = half_steps(OFF, 2**40)
    assert 10 < off_overflows <= overflows
    torch.testing.assert_close(off_learnt, learnt, rtol=0.02, atol=2e-3)
    on_overflows, on_learnt = half_steps(STUDENT, 2**40)
    assert 10 < on_overflows < 40 and all(t.isfinite().all() for t in on_learnt.values())


@pytest.mark.parametrize("flags, choices", [((), PLAIN), (OFF, {}), (STUDENT, {})])
def test_a_storm_without_end_stops_the_run(flags, choices):
    with pytest.raises(FloatingPointError, match="Minimum loss scale reached"):
        half_steps(flags, 128, float("nan"), **choices)
