"""The fused loss against the slow reference, in value and in gradient."""

from itertools import product

import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from reference import reference_loss

from selfteach_fairseq.losses import Objective, self_teaching_loss

DEFAULT = Objective(label_smoothing=0.1, alpha=0.7, student_ce=0.4)


def draw(tokens=7, features=5, types=11, students=1, dtype=torch.float32, scale=1.0):
    generator = torch.Generator().manual_seed(tokens + types + students)

    def normal(*shape):
        values = torch.randn(*shape, generator=generator) * scale
        return values.to(dtype).requires_grad_()

    target = torch.randint(types, (tokens,), generator=generator)
    models = [normal(tokens, features) for _ in range(students + 1)]
    return models, normal(types, features), target


def compute(models, weight, target, objective, chunk_tokens=None, scale=1.0):
    """Losses and the gradients by each model's features and by the projection."""
    losses = self_teaching_loss(models[0], models[1:], weight, target, objective, chunk_tokens)
    grads = torch.autograd.grad(losses.loss * scale, [*models, weight])
    return losses, grads


def expect(models, weight, target, objective, scale=1.0):
    models = [model.detach().double().requires_grad_() for model in models]
    weight = weight.detach().double().requires_grad_()
    full, *students = [model @ weight.t() for model in models]
    expected = reference_loss(full, students, target, **vars(objective))
    loss = expected["loss"] * scale
    if not loss.requires_grad:  # no tokens
        return expected, [torch.zeros_like(leaf) for leaf in [*models, weight]]
    return expected, torch.autograd.grad(loss, [*models, weight])


def assert_parity(models, weight, target, objective, rtol=1e-5, atol=1e-5, **options):
    losses, grads = compute(models, weight, target, objective, **options)
    expected, expected_grads = expect(models, weight, target, objective)

    def close(found, wanted):
        wanted = torch.as_tensor(wanted, dtype=torch.float64)
        bound = atol * max(1.0, wanted.abs().max().item() if wanted.numel() else 0.0)
        torch.testing.assert_close(found.double(), wanted, rtol=rtol, atol=bound)

    close(losses.loss, expected["loss"].detach())
    close(losses.nll, expected["nll"])
    close(losses.kl, expected["kl"])
    close(losses.student_nll, expected["student_nll"])
    for found, wanted, leaf in zip(grads, expected_grads, [*models, weight], strict=True):
        assert found.dtype == leaf.dtype
        close(found, wanted)


COMBINATIONS = list(product(("kl", "symmetric"), ("student", "both"), (1.0, 2.0), (0.0, 0.1)))


@pytest.mark.parametrize("divergence, kl_gradient, temperature, smoothing", COMBINATIONS)
@pytest.mark.parametrize("students", [0, 1, 3])
def test_every_objective(divergence, kl_gradient, temperature, smoothing, students):
    objective = Objective(smoothing, 0.7, 0.4, divergence, kl_gradient, temperature)
    assert_parity(*draw(students=students), objective, chunk_tokens=3)


@pytest.mark.parametrize("alpha, student_ce", [(0.0, 0.0), (0.0, 1.0), (2.5, 0.0)])
def test_weights_that_are_zero(alpha, student_ce):
    assert_parity(*draw(), Objective(0.1, alpha, student_ce, "symmetric"))


@pytest.mark.parametrize("tokens, features, types", [(1, 1, 2), (1, 24, 101), (33, 8, 13)])
def test_odd_shapes(tokens, features, types):
    assert_parity(*draw(tokens, features, types, students=2), DEFAULT)


@pytest.mark.parametrize("chunk_tokens", [1, 4, 6, 7, 100])
def test_the_size_of_a_chunk_changes_nothing(chunk_tokens):
    assert_parity(*draw(), DEFAULT, chunk_tokens=chunk_tokens)


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
@pytest.mark.parametrize("divergence", ["kl", "symmetric"])
def test_half_precision(dtype, tolerance, divergence):
    objective = Objective(0.1, 0.7, 0.4, divergence)
    models, weight, target = draw(16, 8, 33, students=2, dtype=dtype)
    assert_parity(models, weight, target, objective, rtol=tolerance, atol=tolerance)


def test_a_loss_scale_saves_small_half_gradients():
    """Tiny gradients must not be rounded away before the loss scale has reached them."""
    models, weight, target = draw(4, 4, 9, dtype=torch.float16)
    tiny = 2.0**-20
    grads = compute(models, weight, target, DEFAULT, scale=tiny)[1]
    expected = expect(models, weight, target, DEFAULT, scale=tiny)[1]
    for found, wanted in zip(grads, expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=0.1, atol=2.0**-23)
        assert found.abs().max() > 0


def test_autocast():
    models, weight, target = draw(16, 8, 33, students=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, grads = compute(models, weight, target, DEFAULT)
    expected, expected_grads = expect(models, weight, target, DEFAULT)
    torch.testing.assert_close(losses.loss.double(), expected["loss"], rtol=0.01, atol=0)
    for found, wanted in zip(grads, expected_grads, strict=True):
        assert found.dtype == torch.float32
        bound = 0.03 * wanted.abs().max().item()
        torch.testing.assert_close(found.double(), wanted, rtol=0.03, atol=bound)


def test_an_upstream_gradient_scales_all():
    ones = compute(*draw(), DEFAULT)[1]
    many = compute(*draw(), DEFAULT, scale=1024.0)[1]
    for one, scaled in zip(ones, many, strict=True):
        torch.testing.assert_close(one * 1024, scaled)


def test_without_gradients_the_values_are_the_same():
    models, weight, target = draw(students=2)
    with torch.no_grad():
        found = self_teaching_loss(models[0], models[1:], weight, target, DEFAULT)
    assert not found.loss.requires_grad
    for one, other in zip(found, compute(models, weight, target, DEFAULT)[0], strict=True):
        assert torch.equal(one, other.detach())


def test_without_students_it_is_fairseqs_loss():
    (full,), weight, target = draw(students=0)
    found = self_teaching_loss(full, [], weight, target, DEFAULT)
    log_probs = (full @ weight.t()).log_softmax(-1)
    loss, nll = label_smoothed_nll_loss(log_probs, target, 0.1)
    torch.testing.assert_close(found.loss, loss.sum())
    torch.testing.assert_close(found.nll, nll.sum())


def test_tokens_ranked_first_are_counted():
    (full,), weight, target = draw(tokens=33, students=0)
    expected = (full @ weight.t()).argmax(-1).eq(target).sum()
    assert self_teaching_loss(full, [], weight, target, DEFAULT, 4).correct == expected > 0


def test_a_student_equal_to_the_model_has_no_divergence():
    models, weight, target = draw(students=0)
    for divergence in ("kl", "symmetric"):
        objective = Objective(divergence=divergence)
        same = self_teaching_loss(models[0], models, weight, target, objective)
        assert abs(same.kl.item()) < 1e-5


def test_extreme_logits_stay_finite():
    models, weight, target = draw(scale=100.0)
    losses, grads = compute(models, weight, target, Objective(0.1, divergence="symmetric"))
    assert all(torch.isfinite(tensor).all() for tensor in (*losses, *grads))


def test_no_tokens():
    assert_parity(*draw(tokens=0), DEFAULT)


def test_nan_is_not_hidden():
    models, weight, target = draw()
    with torch.no_grad():
        models[1][2, 0] = float("nan")
    losses, grads = compute(models, weight, target, DEFAULT)
    assert losses.loss.isnan() and grads[-1].isnan().any()
