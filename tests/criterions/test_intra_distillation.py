"""Intra-distillation: several dropout passes of one model, and their X-divergence."""

import pytest
import torch
from agreement import assert_learns_as_fairseqs, assert_validates_as_fairseqs
from reference import (
    log_probabilities,
    reference_adaptive_alpha,
    reference_x_divergence,
    smoothed_cross_entropy,
)
from tiny import PAD, batch, build, distance, settings, step, task, trainer

from selfteach_fairseq.criterions.intra_distillation import (
    x_divergence,
)

INTRA = {"criterion": "intra_distillation"}
UPDATES = ("--max-update", 100)
CONSTANT = ("--intra-schedule", "constant")


@pytest.mark.parametrize("passes", [2, 3, 4])
@pytest.mark.parametrize("update", [0, 6, 13, 20, 70])
def test_it_is_the_formula(passes, update):
    flags = (*UPDATES, "--dropout", 0.3, "--intra-passes", passes)
    model, criterion = build(*flags, **INTRA)
    sample = batch()
    torch.manual_seed(3)
    loss, logged, found = step(model, criterion, sample, update)

    alpha = reference_adaptive_alpha(update, 100, alpha=5, p=5, q=10)
    model.zero_grad()
    torch.manual_seed(3)
    inputs = {key: torch.cat([value] * passes) for key, value in sample["net_input"].items()}
    logits = [each.flatten(0, 1).double() for each in model(**inputs)[0].chunk(passes)]
    expected, divergence = 0.0, 0.0
    for *zs, y in zip(*logits, sample["target"].flatten().tolist(), strict=True):
        if y == PAD:
            continue
        log_ps = [log_probabilities(z) for z in zs]
        apart = reference_x_divergence(log_ps)
        own = sum(smoothed_cross_entropy(log_p, y, 0.1) for log_p in log_ps) / passes
        expected += own + alpha * apart
        divergence += apart.item()
    expected.backward()
    assert divergence > 0.1
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    assert logged["kl"].item() == pytest.approx(divergence, rel=1e-4)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("apart", [1.0, 30.0])
def test_the_divergence_of_any_probabilities(dtype, apart):
    torch.manual_seed(1)
    logits = (apart * torch.randn(3, 4, 11)).to(dtype).requires_grad_()
    found = x_divergence(torch.log_softmax(logits, dim=2))
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    doubles = logits.detach().double().requires_grad_()
    expected = torch.stack(
        [reference_x_divergence([log_probabilities(z) for z in doubles[:, n]]) for n in range(4)]
    )
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), doubles)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("p", "q"), [(5, 10), (1, 8)])
@pytest.mark.parametrize("alpha", [1.5, 5])
def test_the_weight_rises_as_the_paper_says(p, q, alpha):
    flags = ("--max-update", 80, "--intra-p", p, "--intra-q", q, "--intra-alpha", alpha)
    _, criterion = build(*flags, **INTRA)
    assert criterion.alpha_at(80 // q) == pytest.approx(1)
    assert (
        criterion.alpha_at(80 // p)
        == pytest.approx(alpha)
        == criterion.alpha_at(79 if p > 1 else 80)
    )
    for update in range(81):
        expected = reference_adaptive_alpha(update, 80, alpha=alpha, p=p, q=q)
        assert criterion.alpha_at(update) == pytest.approx(expected)


def test_the_weight_follows_the_updates_in_training():
    """fairseq tells a model the number of the update, and never a criterion."""
    model, criterion = build(*UPDATES, "--dropout", 0.3, **INTRA)
    steps = []
    for update in (0, 10, 20):
        torch.manual_seed(3)
        steps.append(step(model, criterion, batch(), update)[2])
    assert distance(steps[0], steps[1]) > 1e-3 and distance(steps[1], steps[2]) > 1e-3


def test_a_weight_of_at_most_one_is_constant_on_stock_models_too():
    choices = {"arch": "transformer_iwslt_de_en", **INTRA}
    for flags in (("--intra-alpha", 1), CONSTANT):
        model, criterion = build("--dropout", 0.3, *flags, **choices)
        torch.manual_seed(3)
        loss, logged, _ = step(model, criterion, batch())
        bare = build("--dropout", 0.3, "--intra-alpha", 0, **choices)
        torch.manual_seed(3)
        without = step(*bare, batch())[0]
        weight = criterion.cfg.intra_alpha
        torch.testing.assert_close(loss - without, weight * logged["kl"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("extra", [(), ("--ignore-prefix-size", 2, "--sentence-avg")])
def test_without_dropout_it_is_fairseqs_criterion(extra):
    """All passes are one then, so there is nothing between them."""
    logged = assert_learns_as_fairseqs(CONSTANT, (*extra, "--report-accuracy"), **INTRA)
    assert abs(logged["kl"].item()) < 1e-5


def test_validation_is_one_pass_of_fairseqs_criterion():
    assert_validates_as_fairseqs(CONSTANT, **INTRA)


OPTIONS = [
    ("--intra-passes", 2),
    ("--intra-alpha", 2),
    ("--intra-schedule", "constant"),
    ("--intra-p", 8),
    ("--intra-q", 20),
]


@pytest.mark.parametrize("flags", OPTIONS, ids=lambda flags: flags[0])
def test_every_option_changes_the_gradients(flags):
    steps = []
    for more in ((), flags):
        model, criterion = build(*UPDATES, "--dropout", 0.3, *more, **INTRA)
        torch.manual_seed(3)
        steps.append(step(model, criterion, batch(), 8)[2])
    assert distance(*steps) > 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_models_of_half_precision(dtype):
    """The loss and the divergence are sums of single precision, whatever the model's numbers."""
    losses = []
    for numbers in (torch.float32, dtype):
        model, criterion = build(*CONSTANT, "--dropout", 0.3, **INTRA)
        torch.manual_seed(3)
        loss, logged, found = step(model.to(numbers), criterion, batch())
        assert loss.dtype == logged["kl"].dtype == torch.float32
        assert all(gradient.isfinite().all() for gradient in found.values())
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=0.2)  # of other random numbers


def test_fairseqs_trainer_takes_it(tmp_path):
    """And the trainer's number of updates, of which the criterion hears by the model alone."""
    training = trainer(*UPDATES, "--dropout", 0.3, save_dir=tmp_path, **INTRA)
    training.begin_epoch(1)
    for updates in (1, 2):
        logged = training.train_step([batch(seed=1), batch(seed=2)])
        assert logged["kl"] > 0 and training.get_num_updates() == updates
        assert training.model.num_updates == updates - 1  # the number of those before


REFUSED = [
    (("--intra-passes", 1), "--intra-passes 1: must be 2 or more"),
    (("--intra-alpha", -1), "--intra-alpha -1.0: must not be negative"),
    (("--intra-p", 10), "--intra-p 10.0 --intra-q 10.0: p must be 1 or more, and q above it"),
    (("--intra-p", 0.5), "--intra-p 0.5 --intra-q 10.0: p must be 1 or more, and q above it"),
    (("--max-update", 0), "--intra-schedule adaptive needs --max-update"),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED)
def test_what_cannot_work_is_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        task().build_criterion(settings(*UPDATES, *flags, **INTRA).criterion)


def test_an_adaptive_weight_on_a_stock_model_is_refused_with_the_way_out():
    message = "transformer_tiny keeps no update number: --intra-schedule adaptive needs --arch tran"
    with pytest.raises(ValueError, match=message):
        task().build_criterion(settings(*UPDATES, arch="transformer_tiny", **INTRA).criterion)
