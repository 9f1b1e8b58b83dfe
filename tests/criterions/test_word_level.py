"""Word-level distillation, alone and with stock models."""

import math

import pytest
import torch
from agreement import assert_the_teacher_is_left_as_it_is
from fairseq.data import Dictionary
from fairseq.logging import metrics
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from reference import kl, log_probabilities, smoothed_cross_entropy
from teachers import saved
from tiny import PAD, batch, build, checkpoint_of, distance, settings, step, task, trainer

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.checkpoints.reading import plain
from selfteach_fairseq.criterions.word_level import WordLevelDistillationCriterion
from selfteach_fairseq.layers import Layers

NAME = "word_level_distillation"
STUDENT = ("--encoder-layers", 2, "--decoder-layers", 1)
STOCK = {"arch": "transformer_iwslt_de_en", "criterion": NAME}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("a teacher"))


def distilling(teacher, *flags, **choices):
    return build(*STUDENT, "--teacher", teacher[1], *flags, **{**STOCK, **choices})


@pytest.mark.parametrize(
    "arch, weight, temperature",
    [
        ("transformer_iwslt_de_en", 0.5, 1.0),
        ("transformer_iwslt_de_en", 0.9, 3.0),
        ("transformer_selfteach", 1.0, 0.5),
    ],
)
def test_it_is_the_formula(teacher, arch, weight, temperature):
    flags = ("--teacher-weight", weight, "--teacher-temperature", temperature)
    model, criterion = distilling(teacher, *flags, arch=arch)
    sample = batch()
    loss, logged, found = step(model, criterion, sample)

    model.zero_grad()
    rows = sample["target"].ne(PAD)
    student_logits = model(**sample["net_input"])[0][rows].double()
    with torch.no_grad():
        teacher_logits = teacher[0](**sample["net_input"])[0][rows].double()
    expected, divergence, nll = 0.0, 0.0, 0.0
    for z, t, y in zip(student_logits, teacher_logits, sample["target"][rows], strict=True):
        own = log_probabilities(z)
        p, q = log_probabilities(t / temperature), log_probabilities(z / temperature)
        distilled = temperature**2 * kl(p, q)
        expected += (1 - weight) * smoothed_cross_entropy(own, y, 0.1) + weight * distilled
        divergence += distilled.item()
        nll -= own[y].item()
    expected.backward()
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    assert logged["kl"].item() == pytest.approx(divergence, rel=1e-4)
    assert logged["nll_loss"].item() == pytest.approx(nll, rel=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_the_teacher_is_left_as_it_is(teacher):
    assert_the_teacher_is_left_as_it_is(*distilling(teacher, "--dropout", 0))


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it(teacher):
    flags = ("--encoder-embed-dim", 32, "--encoder-layers", 4, "--decoder-layers", 3)
    choices = {"arch": "transformer", "criterion": NAME}
    model, criterion = build("--teacher", teacher[1], *flags, seed=5, **choices)
    assert abs(step(model, criterion, batch())[1]["kl"].item()) < 1e-4


@pytest.mark.parametrize(
    "flags",
    [("--teacher-weight", 0.7), ("--teacher-temperature", 2), ("--label-smoothing", 0.2)],
    ids=lambda flags: flags[0],
)
def test_each_option_changes_the_gradients(teacher, flags):
    default = step(*distilling(teacher), batch())[2]
    assert distance(default, step(*distilling(teacher, *flags), batch())[2]) > 1e-3


def test_another_teacher_changes_the_gradients(teacher, tmp_path):
    small = Checkpoint.read(teacher[1]).cut(Layers.first(1, 1), fp16=True)
    small.write(tmp_path / "small.pt")
    default = step(*distilling(teacher), batch())[2]
    other = (None, tmp_path / "small.pt")
    assert distance(default, step(*distilling(other), batch())[2]) > 1e-3


def test_without_the_teachers_weight_it_is_fairseqs_criterion(teacher):
    extra = ("--ignore-prefix-size", 2, "--sentence-avg", "--report-accuracy")
    loss, logged, found = step(*distilling(teacher, "--teacher-weight", 0, *extra), batch())
    plain = build(*STUDENT, *extra, **{**STOCK, "criterion": "label_smoothed_cross_entropy"})
    expected_loss, expected_logged, expected = step(*plain, batch())
    torch.testing.assert_close(loss, expected_loss)
    assert distance(found, expected) < 1e-6
    for key in expected_logged:
        assert float(logged[key]) == pytest.approx(float(expected_logged[key]), rel=1e-6), key


def test_what_is_logged_is_bits_per_token(teacher):
    halves = [step(*distilling(teacher), batch(seed=seed))[1] for seed in (1, 2)]
    with metrics.aggregate(new_root=True) as aggregate:
        WordLevelDistillationCriterion.reduce_metrics(halves)
    bits = sum(half["kl"] for half in halves) / sum(half["ntokens"] for half in halves)
    found = aggregate.get_smoothed_values()
    assert found["kl"] == pytest.approx(bits.item() / math.log(2), abs=1e-3)
    assert set(found) == {"loss", "nll_loss", "ppl", "kl"}


def test_gathered_batches_are_one_batch(teacher, tmp_path):
    """Gradient accumulation, by fairseq's trainer; what it saves has no teacher."""
    flags = (*STUDENT, "--teacher", teacher[1], "--no-save-optimizer-state")
    parameters = []
    for samples in ([batch(seed=1), batch(seed=2)], [batch(seed=1)], [joined(1, 2)]):
        training = trainer(*flags, save_dir=tmp_path, **STOCK)
        training.begin_epoch(1)
        training.train_step(samples)
        parameters.append([p.detach().clone() for p in training.model.parameters()])
        names = training.state_dict()["model"]
        assert len(names) == len(training.model.state_dict())
        assert training.state_dict()["criterion"] is None
    gathered, half, whole = parameters
    for one, other in zip(gathered, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(gathered, half, strict=True))


def joined(*seeds):
    """The batches of several seeds as one."""
    parts = [batch(seed=seed) for seed in seeds]
    inputs = {
        key: torch.cat([part["net_input"][key] for part in parts]) for key in parts[0]["net_input"]
    }
    return {
        "net_input": inputs,
        "target": torch.cat([part["target"] for part in parts]),
        "ntokens": sum(part["ntokens"] for part in parts),
        "nsentences": sum(part["nsentences"] for part in parts),
    }


def test_the_teacher_follows_the_students_precision(teacher):
    model, criterion = distilling(teacher)
    held = criterion.teacher.model
    assert criterion.teacher.beside(model.bfloat16()) is held
    assert {p.dtype for p in held.parameters()} == {torch.bfloat16}
    criterion(model, batch())[0].backward()


def test_validation_bleu_stays_the_students(teacher):
    """fairseq's task takes whatever model it has built last for the one to translate with."""
    there = task()
    cfg = settings(*STUDENT, "--teacher", teacher[1], **STOCK)
    there.sequence_generator = "the student's"
    there.cfg.eval_bleu = True
    there.build_criterion(cfg.criterion)
    assert there.sequence_generator == "the student's"


@pytest.mark.parametrize(
    "flags, message",
    [
        ((), "needs --teacher, a checkpoint"),
        (("--teacher", "none.pt"), "^--teacher none.pt: No such file"),
        (("--teacher-weight", 1.5), "--teacher-weight 1.5: choose 0 to 1"),
        (("--teacher-temperature", 0), "--teacher-temperature 0.0: must be above 0"),
        (("--adaptive-softmax-cutoff", 10), "--adaptive-softmax-cutoff .* leave it out"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(teacher, flags, message):
    if flags and "--teacher" not in flags:
        flags = ("--teacher", teacher[1], *flags)
    with pytest.raises(ValueError, match=message):
        task().build_criterion(settings(*STUDENT, *flags, **STOCK).criterion)


def test_a_teacher_of_other_dictionaries_is_refused_at_the_start(teacher):
    there = task()
    there.target_dictionary.add_symbol("another")  # of both sides: they are one here
    with pytest.raises(ValueError, match=r"--teacher .*: its encoder has 37 types and .* 38: name"):
        there.build_criterion(settings(*STUDENT, "--teacher", teacher[1], **STOCK).criterion)


def of_two_languages():
    """A task whose dictionaries share but the special symbols and half of the types."""
    both = [Dictionary(), Dictionary()]
    for dictionary, first in zip(both, (0, 8), strict=True):
        for i in range(16):
            dictionary.add_symbol(f"t{first + i}")
    return TranslationTask(TranslationConfig(), *both)


@pytest.mark.parametrize(
    "its_own, in_training, message",
    [
        ((), ("--merge-src-tgt-embed",), "has 20 types and .* 28: .* only if this training is"),
        (("--merge-src-tgt-embed",), (), "28 types and .* 20: it was trained with --merge-src-tgt"),
        (("--merge-src-tgt-embed",), ("--merge-src-tgt-embed",), None),
    ],
)
def test_a_teacher_of_merged_embeddings(tmp_path, its_own, in_training, message):
    plain = {"arch": "transformer", "criterion": "label_smoothed_cross_entropy"}
    model = of_two_languages().build_model(settings(*its_own, **plain).model)
    torch.save(checkpoint_of(model, *its_own, **plain), tmp_path / "teacher.pt")
    there = of_two_languages()
    flags = ("--teacher", tmp_path / "teacher.pt", *in_training)
    cfg = settings(*flags, arch="transformer", criterion=NAME)
    student = there.build_model(cfg.model)
    if message:
        with pytest.raises(ValueError, match=message):
            there.build_criterion(cfg.criterion)
    else:
        sample = batch()
        for tokens in (sample["target"], *sample["net_input"].values()):
            tokens %= 20
        loss, _, _ = there.build_criterion(cfg.criterion)(student, sample)
        assert loss.isfinite()


def test_losses_of_single_tokens_are_refused(teacher):
    model, criterion = distilling(teacher)
    with pytest.raises(NotImplementedError, match="summed"):
        criterion(model, batch(), reduce=False)


def test_the_cut_student_is_stock(teacher):
    model, _ = distilling(teacher)
    state = plain(checkpoint_of(model, *STUDENT, "--teacher", teacher[1], **STOCK))
    cut = Checkpoint.of(state).cut(Layers.first(1, 1))
    assert cut.cfg["criterion"]["_name"] == "label_smoothed_cross_entropy"
    assert "teacher" not in cut.cfg["criterion"]
