"""A teacher beside self-teaching: label_smoothed_ce_selfteach --teacher."""

import math

import pytest
import torch
from agreement import assert_the_teacher_is_left_as_it_is
from fairseq.logging import metrics
from reference import reference_loss
from teachers import saved
from tiny import (
    PAD,
    batch,
    build,
    checkpoint_of,
    distance,
    gradients,
    settings,
    step,
    task,
    trainer,
)

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.checkpoints.reading import plain
from selfteach_fairseq.criterions.selfteach import SelfteachCriterion
from selfteach_fairseq.layers import Layers

STUDENTS = ("--student-layers", "2x1,3")
OFF = ("--alpha", 0, "--student-ce", 0)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("a teacher"))


def taught(teacher, *flags, **choices):
    return build("--teacher", teacher[1], *STUDENTS, *flags, **choices)


def expect(model, teacher, sample, students, weight, temperature, **objective):
    """The reference, behind the logits of stock forward passes."""
    rows = sample["target"].ne(PAD)
    inputs = sample["net_input"]
    with torch.no_grad():
        of_teacher = teacher[0](**inputs)[0][rows]
    defaults = {"label_smoothing": 0.1, "alpha": 1.0, "student_ce": 1.0}
    defaults |= {"divergence": "kl", "kl_gradient": "both", "kl_temperature": 1.0}
    return reference_loss(
        model(**inputs)[0][rows].double(),
        [model.student(student)(**inputs)[0][rows].double() for student in students],
        sample["target"][rows],
        **{**defaults, **objective},
        teacher_logits=of_teacher.double(),
        teacher_weight=weight,
        teacher_temperature=temperature,
    )


def assert_figures(loss, logged, expected, students):
    torch.testing.assert_close(loss.double(), expected["loss"].detach(), rtol=1e-5, atol=1e-5)
    assert logged["teacher_kl"].item() == pytest.approx(expected["teacher_kl"], rel=1e-4)
    assert logged["nll_loss"].item() == pytest.approx(expected["nll"], rel=1e-5)
    assert logged["kl"].item() == pytest.approx(sum(expected["kl"]) / len(students), rel=1e-4)
    for student, nll in zip(students, expected["student_nll"], strict=True):
        assert logged[student.metric].item() == pytest.approx(nll, rel=1e-5)


CASES = {
    "defaults": ((), 0.5, 1.0, {}),
    "no text": (("--teacher-weight", 1, "--teacher-temperature", 2), 1.0, 2.0, {}),
    "weights": (
        ("--teacher-weight", 0.7, "--alpha", 0.6, "--student-ce", 0.3, "--label-smoothing", 0.2),
        *(0.7, 1.0, {"alpha": 0.6, "student_ce": 0.3, "label_smoothing": 0.2}),
    ),
    "temperatures": (
        ("--teacher-temperature", 0.5, "--kl-temperature", 2, "--divergence", "symmetric"),
        *(0.5, 0.5, {"kl_temperature": 2.0, "divergence": "symmetric"}),
    ),
}


@pytest.mark.parametrize("flags, weight, temperature, objective", CASES.values(), ids=CASES)
def test_it_is_the_formula(teacher, flags, weight, temperature, objective):
    model, criterion = taught(teacher, *flags)
    sample = batch()
    loss, logged, found = step(model, criterion, sample)
    model.zero_grad()
    expected = expect(model, teacher, sample, criterion.students, weight, temperature, **objective)
    expected["loss"].backward()
    assert_figures(loss, logged, expected, criterion.students)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_validation_is_the_same_formula(teacher):
    """With the full alpha and all students, whatever an update draws."""
    flags = ("--alpha-warmup-updates", 9, "--student-sampling", 1)
    model, criterion = taught(teacher, *flags)
    model.eval()
    with torch.no_grad():
        loss, _, logged = criterion(model, batch())
        expected = expect(model, teacher, batch(), criterion.students, 0.5, 1.0)
    assert_figures(loss, logged, expected, criterion.students)


def test_drawn_students_learn_from_it_alike(teacher):
    model, criterion = taught(teacher, "--student-sampling", 1)
    (student,) = criterion.students_at(4)
    found = step(model, criterion, batch(), 4)[2]
    alone = taught(teacher, "--student-layers", student)
    assert distance(found, step(*alone, batch())[2]) == 0


@pytest.mark.parametrize("extra", [(), ("--ignore-prefix-size", 2, "--sentence-avg")])
def test_without_students_it_is_word_level_distillation(teacher, extra):
    """No student is run in training: nothing is logged of any."""
    flags = ("--teacher-weight", 0.7, "--teacher-temperature", 2, "--report-accuracy", *extra)
    loss, logged, found = step(*taught(teacher, *OFF, *flags), batch())
    distilled = build("--teacher", teacher[1], *flags, criterion="word_level_distillation")
    expected_loss, expected_logged, expected = step(*distilled, batch())
    torch.testing.assert_close(loss, expected_loss, rtol=1e-6, atol=1e-5)
    assert distance(found, expected) < 1e-5
    expected_logged["teacher_kl"] = expected_logged.pop("kl")
    assert logged.keys() == expected_logged.keys()
    for key in logged:
        assert float(logged[key]) == pytest.approx(float(expected_logged[key]), rel=1e-5), key


@pytest.mark.parametrize(
    "flags",
    [(), ("--teacher-weight", 0.7), ("--teacher-temperature", 2)],
    ids=["--teacher", "--teacher-weight", "--teacher-temperature"],
)
def test_each_option_changes_the_gradients(teacher, flags):
    default = taught(teacher) if flags else build(*STUDENTS)
    found = step(*taught(teacher, *flags), batch())[2]
    assert distance(step(*default, batch())[2], found) > 1e-3


def test_without_weight_it_changes_nothing(teacher):
    found, expected = (
        step(*built, batch())
        for built in (taught(teacher, "--teacher-weight", 0), build(*STUDENTS))
    )
    assert found[0] == expected[0] and distance(found[2], expected[2]) == 0


def test_the_teacher_is_left_as_it_is(teacher):
    assert_the_teacher_is_left_as_it_is(*taught(teacher))


def test_no_checkpoint_has_it(teacher, tmp_path):
    flags = (*STUDENTS, "--teacher", teacher[1])
    training = trainer(*flags, "--no-save-optimizer-state", save_dir=tmp_path)
    training.begin_epoch(1)
    training.train_step([batch(seed=1), batch(seed=2)])
    state = training.state_dict()
    assert state["model"].keys() == build()[0].state_dict().keys()
    assert state["criterion"] is None


def test_the_cut_student_knows_nothing_of_it(teacher):
    flags = ("--teacher", teacher[1], "--teacher-weight", 0.3)
    state = plain(checkpoint_of(taught(teacher)[0], *STUDENTS, *flags))
    cut = Checkpoint.of(state).cut(Layers.first(2, 1))
    assert not any(key.startswith(("teacher", "student")) for key in cut.cfg["criterion"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_it_follows_the_models_precision(teacher, dtype):
    model, criterion = taught(teacher)
    loss, _, found = step(model.to(dtype), criterion, batch())
    assert {p.dtype for p in criterion.teacher.model.parameters()} == {dtype}
    expected_loss, _, expected = step(*taught(teacher), batch())
    torch.testing.assert_close(loss, expected_loss, rtol=0.01, atol=0)
    wanted = expected["decoder.layers.0.fc1.weight"]
    bound = 0.1 * wanted.abs().max().item()
    torch.testing.assert_close(
        found["decoder.layers.0.fc1.weight"].float(), wanted, rtol=0, atol=bound
    )


def test_its_divergence_is_logged_in_bits_per_token(teacher):
    built = taught(teacher)
    halves = [step(*built, batch(seed=seed))[1] for seed in (1, 2)]
    with metrics.aggregate(new_root=True) as aggregate:
        SelfteachCriterion.reduce_metrics(halves)
    nats = sum(half["teacher_kl"] for half in halves).item()
    bits = nats / sum(half["ntokens"] for half in halves) / math.log(2)
    assert aggregate.get_smoothed_values()["teacher_kl"] == pytest.approx(bits, abs=1e-3)


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--teacher", "none.pt"), "^--teacher none.pt: No such file"),
        (("--teacher-weight", 1.5), "--teacher-weight 1.5: choose 0 to 1"),
        (("--teacher-weight", -0.1), "--teacher-weight -0.1: choose 0 to 1"),
        (("--teacher-temperature", 0), "--teacher-temperature 0.0: must be above 0"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(teacher, flags, message):
    with pytest.raises(ValueError, match=message):
        taught(teacher, *flags)


@pytest.mark.parametrize("name", ["--teacher-weight", "--teacher-temperature"])
def test_an_option_without_a_teacher_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} 0.5 needs --teacher, a checkpoint: leave it"):
        task().build_criterion(settings(*STUDENTS, name, 0.5).criterion)


TEACHERS = {
    "adaptive softmax": (
        ("--adaptive-softmax-cutoff", 9),
        "--adaptive-softmax-cutoff.*: choose one without",
    ),
    "quantised": (("--quant-noise-scalar", 0.5), "--quant-noise-scalar.*: choose one without"),
    "of short sentences": (
        ("--decoder-learned-pos", "--max-target-positions", 99),
        "has learned 99 target positions, and this training reads up to 1024: add --max-target-",
    ),
}


@pytest.mark.parametrize("flags, message", TEACHERS.values(), ids=TEACHERS)
@pytest.mark.parametrize("criterion", ["label_smoothed_ce_selfteach", "word_level_distillation"])
def test_a_teacher_that_cannot_serve_is_refused(tmp_path, criterion, flags, message):
    path = saved(tmp_path, *flags)[1]
    with pytest.raises(ValueError, match=rf"^--teacher {path}: .*{message}"):
        build("--teacher", path, criterion=criterion)
