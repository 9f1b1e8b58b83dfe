"""The fused loss and the students against the slow reference, in value and in gradient."""

import functools
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from reference import reference_loss, reference_student_logits
from tiny import batch, build

from selfteach_fairseq.criterions.losses import Teaching, self_teaching_loss
from selfteach_fairseq.criterions.terms import Objective
from selfteach_fairseq.layers import Layers

DEFAULT = Objective(label_smoothing=0.1, alpha=0.7, student_ce=0.4)


def draw(tokens=7, features=5, types=11, students=1, dtype=torch.float32, scale=1.0):
    generator = torch.Generator().manual_seed(tokens + types + students)

    def normal(*shape):
        values = torch.randn(*shape, generator=generator) * scale
        return values.to(dtype).requires_grad_()

    target = torch.randint(types, (tokens,), generator=generator)
    models = [normal(tokens, features) for _ in range(students + 1)]
    return models, normal(types, features), target


def teacher_of(target, types=11, width=3, dtype=torch.float32, weight=0.6, temperature=1.0):
    """What a teacher of another width says of the tokens."""
    generator = torch.Generator().manual_seed(width)
    shapes = (len(target), width), (types, width)
    tensors = [torch.randn(*shape, generator=generator).to(dtype) for shape in shapes]
    return Teaching(*tensors, weight, temperature)


def compute(models, weight, target, objective, chunk_tokens=None, scale=1.0, **beside):
    """Losses and the gradients by each model's features and by the projection."""
    losses = self_teaching_loss(
        models[0], models[1:], weight, target, objective, chunk_tokens, **beside
    )
    grads = torch.autograd.grad(losses.loss * scale, [*models, weight])
    return losses, grads


def expect(models, weight, target, objective, scale=1.0, teaching=None, stock=False):
    """What `compute` has to find, stock or not."""
    models = [model.detach().double().requires_grad_() for model in models]
    weight = weight.detach().double().requires_grad_()
    full, *students = [model @ weight.t() for model in models]
    options = dict(vars(objective))
    if teaching is not None:
        options["teacher_logits"] = teaching.features.double() @ teaching.projection.double().t()
        options |= {
            "teacher_weight": teaching.weight,
            "teacher_temperature": teaching.temperature,
        }
    expected = reference_loss(full, students, target, **options)
    leaves = [*models, weight]
    return expected, torch.autograd.grad(expected["loss"] * scale, leaves, materialize_grads=True)


def assert_parity(
    models, weight, target, objective, rtol=1e-5, atol=1e-5, chunk_tokens=None, **beside
):
    losses, grads = compute(models, weight, target, objective, chunk_tokens, **beside)
    expected, expected_grads = expect(models, weight, target, objective, **beside)

    def close(found, wanted):
        wanted = torch.as_tensor(wanted, dtype=torch.float64)
        bound = atol * max(1.0, wanted.abs().max().item() if wanted.numel() else 0.0)
        torch.testing.assert_close(found.double(), wanted, rtol=rtol, atol=bound)

    close(losses.loss, expected["loss"].detach())
    close(losses.nll, expected["nll"])
    close(losses.kl, expected["kl"])
    close(losses.student_nll, expected["student_nll"])
    close(losses.teacher_kl, expected["teacher_kl"])
    for found, wanted, leaf in zip(grads, expected_grads, [*models, weight], strict=True):
        assert found.dtype == leaf.dtype
        close(found, wanted)


def test_the_reference_is_what_torch_computes():
    """Label smoothing as torch spreads it, over all types, is fairseq's with another epsilon."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 6, 9, generator=generator, dtype=torch.float64)
    full, student = (logits.clone().requires_grad_() for logits in drawn)
    target = torch.randint(9, (6,), generator=generator)
    for divergence, kl_gradient, t in product(("kl", "symmetric"), ("student", "both"), (1, 2)):
        objective = Objective(0.1, 0.7, 0.4, divergence, kl_gradient, t)
        found = reference_loss(full, [student], target, **vars(objective))["loss"]
        teacher = full.detach() if kl_gradient == "student" else full
        p, q = (logits.div(t).log_softmax(-1) for logits in (teacher, student))
        distance = F.kl_div(q, p, reduction="sum", log_target=True)
        if divergence == "symmetric":
            distance = distance + F.kl_div(p, q, reduction="sum", log_target=True)
        full_ce, student_ce = (
            F.cross_entropy(logits, target, reduction="sum", label_smoothing=0.1 * 9 / 8)
            for logits in (full, student)
        )
        expected = full_ce + 0.7 * t**2 * distance + 0.4 * student_ce
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            torch.autograd.grad(found, [full, student]),
            torch.autograd.grad(expected, [full, student]),
        )


COMBINATIONS = list(product(("kl", "symmetric"), ("student", "both"), (1.0, 2.0), (0.0, 0.1)))


@pytest.mark.parametrize("divergence, kl_gradient, temperature, smoothing", COMBINATIONS)
@pytest.mark.parametrize("students", [0, 1, 3])
def test_every_objective(divergence, kl_gradient, temperature, smoothing, students):
    objective = Objective(smoothing, 0.7, 0.4, divergence, kl_gradient, temperature)
    assert_parity(*draw(students=students), objective, chunk_tokens=3)


@pytest.mark.parametrize("kl_gradient, kl_temperature", [("both", 1.0), ("student", 2.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight, temperature", [(0.6, 1.0), (0.3, 3.0), (1.0, 0.5)])
@pytest.mark.parametrize("students", [0, 1, 3])
def test_a_teacher_in_every_objective(
    students, weight, temperature, smoothing, kl_gradient, kl_temperature
):
    models, projection, target = draw(students=students)
    objective = Objective(smoothing, 0.7, 0.4, "kl", kl_gradient, kl_temperature)
    teaching = teacher_of(target, weight=weight, temperature=temperature)
    assert_parity(models, projection, target, objective, chunk_tokens=3, teaching=teaching)


@pytest.mark.parametrize("alpha, student_ce", [(0.0, 0.0), (0.0, 1.0), (2.5, 0.0)])
def test_weights_that_are_zero(alpha, student_ce):
    assert_parity(*draw(), Objective(0.1, alpha, student_ce, "symmetric"))


SHAPES = [(1, 1, 2), (1, 24, 101), (7, 24, 12), (33, 8, 13), (33, 13, 101)]


@pytest.mark.parametrize("stock", [False, True])
@pytest.mark.parametrize("tokens, features, types", SHAPES)
def test_odd_shapes(tokens, features, types, stock):
    assert_parity(*draw(tokens, features, types, students=2), DEFAULT, stock=stock)


@pytest.mark.parametrize("tokens, features, types", SHAPES)
@pytest.mark.parametrize("width", [1, 40])
def test_odd_shapes_with_a_teacher(tokens, features, types, width):
    drawn = draw(tokens, features, types, students=2)
    assert_parity(*drawn, DEFAULT, teaching=teacher_of(drawn[-1], types, width))


@pytest.mark.parametrize("chunk_tokens", [1, 4, 6, 7, 100])
def test_the_size_of_a_chunk_changes_nothing(chunk_tokens):
    assert_parity(*draw(), DEFAULT, chunk_tokens=chunk_tokens)


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
@pytest.mark.parametrize("kl_gradient, temperature", [("both", 1.0), ("student", 2.0)])
@pytest.mark.parametrize("divergence", ["kl", "symmetric"])
def test_half_precision(dtype, tolerance, divergence, kl_gradient, temperature):
    objective = Objective(0.1, 0.7, 0.4, divergence, kl_gradient, temperature)
    models, weight, target = draw(16, 8, 33, students=2, dtype=dtype)
    assert_parity(models, weight, target, objective, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_half_precision_with_a_teacher(dtype, tolerance, temperature):
    models, weight, target = draw(16, 8, 33, students=2, dtype=dtype)
    teaching = teacher_of(target, 33, dtype=dtype, temperature=temperature)
    assert_parity(models, weight, target, DEFAULT, tolerance, tolerance, 5, teaching=teaching)


# In the first case every gradient is too small for half precision, for features and weight are;
# in the second the students' are, for alpha is.
TINY = {
    "features and weight": (DEFAULT, 2.0**-22, slice(None)),
    "alpha": (Objective(alpha=2.0**-26, student_ce=0.0, kl_gradient="student"), 1, slice(1, -1)),
}


@pytest.mark.parametrize("objective, size, which", TINY.values(), ids=TINY)
def test_a_loss_scale_saves_small_half_gradients(objective, size, which):
    """Tiny gradients must not be rounded away before the loss scale has reached them."""
    scale = 2.0**14
    models, weight, target = draw(students=2, dtype=torch.float16, scale=size)
    found = compute(models, weight, target, objective, scale=scale)[1][which]
    expected = expect(models, weight, target, objective, scale=scale)[1][which]
    for one, wanted in zip(found, expected, strict=True):
        bound = 0.01 * wanted.abs().max().item()
        too_late = (wanted / scale).half().double() * scale
        assert (too_late - wanted).abs().max() > 4 * bound
        torch.testing.assert_close(one.double(), wanted, rtol=0, atol=bound)


def test_a_tiny_upstream_gradient_is_not_lost():
    models, weight, target = draw(4, 4, 9, dtype=torch.float16)
    tiny = 2.0**-20
    grads = compute(models, weight, target, DEFAULT, scale=tiny)[1]
    expected = expect(models, weight, target, DEFAULT, scale=tiny)[1]
    for found, wanted in zip(grads, expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=0.1, atol=2.0**-23)
        assert found.abs().max() > 0


@pytest.mark.parametrize("has_teacher", [False, True])
def test_autocast(has_teacher):
    models, weight, target = draw(16, 8, 33, students=2)
    teaching = teacher_of(target, 33) if has_teacher else None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, grads = compute(models, weight, target, DEFAULT, teaching=teaching)
    expected, expected_grads = expect(models, weight, target, DEFAULT, teaching=teaching)
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


@pytest.mark.parametrize("has_teacher", [False, True])
def test_without_gradients_the_values_are_the_same(has_teacher):
    models, weight, target = draw(students=2)
    beside = {"teaching": teacher_of(target) if has_teacher else None}
    with torch.no_grad():
        found = self_teaching_loss(models[0], models[1:], weight, target, DEFAULT, **beside)
    assert not found.loss.requires_grad
    trained = compute(models, weight, target, DEFAULT, **beside)[0]
    for one, other in zip(found, trained, strict=True):
        assert torch.equal(one, other.detach())


@pytest.mark.parametrize("trained", [0, 1, 3], ids=["full", "student", "weight"])
def test_what_is_frozen_gets_no_gradient(trained):
    models, weight, target = draw(students=2)
    expected = compute(models, weight, target, DEFAULT)[1]
    leaves = [leaf.detach() for leaf in (*models, weight)]
    leaves[trained].requires_grad_()
    losses = self_teaching_loss(leaves[0], leaves[1:-1], leaves[-1], target, DEFAULT)
    losses.loss.backward()
    torch.testing.assert_close(leaves[trained].grad, expected[trained])
    assert sum(leaf.grad is not None for leaf in leaves) == 1


def test_a_projection_that_also_embeds_gets_both_gradients():
    _, weight, target = draw()

    def gradient(loss_of, dtype):
        tied = weight.detach().to(dtype).requires_grad_()
        models = [tied[target.flip(0)].tanh(), tied[target.roll(1)].sin()]
        return torch.autograd.grad(loss_of(models, tied), tied)[0].double()

    def ours(models, tied):
        return self_teaching_loss(models[0], models[1:], tied, target, DEFAULT).loss

    def reference(models, tied):
        full, student = (model @ tied.t() for model in models)
        return reference_loss(full, [student], target, **vars(DEFAULT))["loss"]

    found, expected = gradient(ours, torch.float32), gradient(reference, torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("divergence", ["kl", "symmetric"])
def test_a_stopped_gradient_leaves_the_model_its_cross_entropy(divergence):
    models, weight, target = draw(students=2)
    stopped = Objective(0.1, 0.7, 0.0, divergence, "student")
    found = compute(models, weight, target, stopped)[1]
    plain = compute(models[:1], weight, target, stopped)[1]
    torch.testing.assert_close(found[0], plain[0])
    assert (found[-1] - plain[-1]).abs().max() > 0.01  # the student's side of it moves the weight


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_students_it_is_fairseqs_loss(smoothing):
    models, weight, target = draw(students=0)
    found, grads = compute(models, weight, target, Objective(smoothing))
    log_probs = (models[0] @ weight.t()).log_softmax(-1)
    loss, nll = label_smoothed_nll_loss(log_probs, target, smoothing)
    torch.testing.assert_close(found.loss, loss)
    torch.testing.assert_close(found.nll, nll)
    assert found.kl.shape == found.student_nll.shape == (0,)
    torch.testing.assert_close(grads, torch.autograd.grad(loss, [*models, weight]))


def test_tokens_ranked_first_are_counted():
    (full,), weight, target = draw(tokens=33, students=0)
    expected = (full @ weight.t()).argmax(-1).eq(target).sum()
    count = functools.partial(self_teaching_loss, full, [], weight, target, DEFAULT, 4)
    assert count(counts_correct=True).correct == expected > 0
    assert count().correct == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_of_types_ranked_alike_the_first_counts(dtype):
    """As fairseq's argmax has it; else all would be right of a model that knows nothing."""
    (full,), weight, target = draw(tokens=33, students=0, dtype=dtype)
    weight = weight.detach()
    weight[1::2] = weight[: len(weight) // 2 * 2 : 2]  # each second type is like the one before
    expected = (full.float() @ weight.float().t()).argmax(-1).eq(target).sum()
    ways = {"chunk_tokens": 4, "counts_correct": True}
    assert self_teaching_loss(full, [], weight, target, DEFAULT, **ways).correct == expected > 0
    nothing = self_teaching_loss(torch.zeros_like(full), [], weight, target, DEFAULT, **ways)
    assert nothing.correct == target.eq(0).sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("divergence", ["kl", "symmetric"])
def test_a_student_equal_to_the_model_has_no_divergence(divergence, dtype):
    (full,), weight, target = draw(tokens=33, students=0, dtype=dtype)
    near = (full * 1.01).detach()
    same, other = self_teaching_loss(
        full, [full, near], weight, target, Objective(divergence=divergence)
    ).kl.tolist()
    assert abs(same) < 1e-5
    assert other > 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_model_equal_to_its_teacher_learns_nothing_from_it(temperature, dtype):
    (full,), weight, target = draw(tokens=33, students=0, dtype=dtype)
    teaching = Teaching(full.detach(), weight.detach(), 1.0, temperature)
    losses, grads = compute([full], weight, target, DEFAULT, teaching=teaching)
    assert abs(losses.teacher_kl) < 2e-5 and losses.nll > 1
    assert max(gradient.abs().max() for gradient in grads) < 1e-5


def test_a_teacher_without_weight_changes_nothing():
    models, weight, target = draw(students=2)
    plain = compute(models, weight, target, DEFAULT)
    beside = teacher_of(target, weight=0.0)
    losses, grads = compute(models, weight, target, DEFAULT, teaching=beside)
    assert losses.loss == plain[0].loss and losses.teacher_kl > 0 == plain[0].teacher_kl
    assert all(map(torch.equal, grads, plain[1]))


def test_a_teacher_gets_no_gradient():
    models, weight, target = draw()
    teaching = teacher_of(target)
    for tensor in teaching[:2]:
        tensor.requires_grad_()
    self_teaching_loss(
        models[0], models[1:], weight, target, DEFAULT, teaching=teaching
    ).loss.backward()
    assert weight.grad is not None and all(tensor.grad is None for tensor in teaching[:2])


# Logits of 1e4 and more; in fp16 they have to fit, as for any loss.
EXTREME = [(torch.float32, 100.0, 100.0), (torch.bfloat16, 1e4, 1.0), (torch.float16, 4e3, 1.0)]


@pytest.mark.parametrize("dtype, size, weight_size", EXTREME, ids=lambda value: str(value))
@pytest.mark.parametrize("divergence", ["kl", "symmetric"])
def test_extreme_logits(dtype, size, weight_size, divergence):
    models, weight, target = draw(students=2)
    models = [(model.detach() * size).to(dtype).requires_grad_() for model in models]
    weight = (weight.detach() * weight_size).to(dtype).requires_grad_()
    tolerance = 1e-3 if dtype == torch.float32 else 0.02
    assert_parity(
        models, weight, target, Objective(0.1, divergence=divergence), tolerance, tolerance
    )


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_teacher_of_extreme_logits(temperature):
    models, weight, target = draw(students=2)
    teaching = teacher_of(target, temperature=temperature)
    teaching = teaching._replace(features=teaching.features * 1e4)
    assert_parity(models, weight, target, DEFAULT, 1e-4, 1e-4, teaching=teaching)


@pytest.mark.parametrize("has_teacher", [False, True])
def test_no_tokens(has_teacher):
    drawn = draw(tokens=0)
    teaching = teacher_of(drawn[-1]) if has_teacher else None
    assert_parity(*drawn, DEFAULT, teaching=teaching)


def test_nan_is_not_hidden():
    models, weight, target = draw()
    with torch.no_grad():
        models[1][2, 0] = float("nan")
    losses, grads = compute(models, weight, target, DEFAULT)
    assert losses.loss.isnan() and grads[-1].isnan().any()


VARIANTS = {
    "post-norm, shared": ("--share-all-embeddings",),
    "pre-norm": ("--encoder-normalize-before", "--decoder-normalize-before"),
    "layernorm, learned": ("--layernorm-embedding", "--decoder-learned-pos"),
}


@pytest.mark.parametrize("flags", VARIANTS.values(), ids=VARIANTS)
def test_a_student_is_a_model_with_copies_of_its_layers(flags):
    """Written without the package's own truncation."""
    model = build(*flags)[0].eval()
    for student in (Layers.first(2, 1), Layers.first(4, 2), Layers.first(1, 3)):
        features = model(**batch()["net_input"], students=(student,), features_only=True)[1][
            "students"
        ][student]
        expected = reference_student_logits(model, student, batch())
        found = model.decoder.output_projection(features)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
