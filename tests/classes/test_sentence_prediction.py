"""`sentence_prediction_selfteach`, beside a slow reference and fairseq's own criterion."""

import math

import pytest
import tiny
import torch
from classifiers import LABELS, batch, build, checkpoint_of, settings, task
from fairseq.distributed import ModuleProxyWrapper
from fairseq.logging import metrics
from reference import reference_loss
from sklearn.metrics import f1_score, matthews_corrcoef
from tiny import distance, gradients, step
from torch.nn.parallel import DistributedDataParallel

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.classes import criterion as criterions

STUDENT = ("--student-layers", "2")
HEAD = "sentence_classification_head"
PLAIN = {"criterion": "sentence_prediction"}
OFF = ("--alpha", 0, "--student-ce", 0)


def logits(model, sample):
    return model(**sample["net_input"], classification_head_name=HEAD)[0]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.pt"
    choices = {"arch": "roberta", **PLAIN}
    Checkpoint.of(checkpoint_of(build(seed=5, **choices)[0], **choices)).write(path)
    return path


@pytest.mark.parametrize(
    "flags, expected",
    [
        ((), {}),
        (("--alpha", 0.7, "--student-ce", 0.3), {"alpha": 0.7, "student_ce": 0.3}),
        (("--divergence", "symmetric"), {"divergence": "symmetric"}),
        (("--kl-gradient", "student"), {"kl_gradient": "student"}),
        (("--kl-temperature", 2), {"kl_temperature": 2.0}),
        (("--teacher-weight", 0.3, "--teacher-temperature", 2), {"teacher_weight": 0.3}),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_the_loss_is_the_references(flags, expected, teacher):
    of_teacher = "teacher_weight" in expected
    given = ("--teacher", teacher) if of_teacher else ()
    model, criterion = build("--student-layers", "2,last3", *flags, *given)
    sample = batch()
    loss, logged, found = step(model, criterion, sample)

    model.zero_grad()
    students = [logits(model.student(layers), sample).double() for layers in ("2", "last3")]
    if of_teacher:
        with torch.no_grad():
            taught = logits(criterion.teacher.model, sample).double()
        expected |= {"teacher_logits": taught, "teacher_temperature": 2.0}
    reference = reference_loss(
        logits(model, sample).double(),
        students,
        sample["target"].view(-1),
        **{
            **{"label_smoothing": 0, "alpha": 1, "student_ce": 1, "divergence": "kl"},
            **{"kl_gradient": "both", "kl_temperature": 1.0, **expected},
        },
    )
    reference["loss"].backward()
    torch.testing.assert_close(loss.double(), reference["loss"].detach(), rtol=1e-5, atol=1e-5)
    assert logged["kl"].item() == pytest.approx(sum(reference["kl"]) / 2, rel=1e-4)
    assert logged["nll_loss"].item() == pytest.approx(reference["nll"], rel=1e-5)
    for name, nll in zip(("2", "last3"), reference["student_nll"], strict=True):
        assert logged[f"student_{name}_nll_loss"].item() == pytest.approx(nll, rel=1e-5)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_switched_off_it_is_fairseqs_criterion():
    ours, fairseqs = build(*STUDENT, *OFF), build(**PLAIN)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model, _ in (ours, fairseqs)]
    for seed in range(5):
        sample = batch(seed=seed)
        loss, logged, found = step(*ours, sample)
        plain_loss, plain_logged, expected = step(*fairseqs, sample)
        torch.testing.assert_close(loss, plain_loss, rtol=1e-6, atol=1e-5)
        assert logged.keys() - plain_logged.keys() == {"nll_loss"}  # no student was run
        for key in plain_logged:
            assert float(logged[key]) == pytest.approx(float(plain_logged[key]), rel=1e-6), key
        assert found.keys() == expected.keys() and distance(found, expected) < 1e-5
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(ours[0].parameters(), fairseqs[0].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "flags",
    [
        ("--alpha", 3),
        ("--student-ce", 0.5),
        ("--divergence", "symmetric"),
        ("--kl-gradient", "student"),
        ("--kl-temperature", 2),
        ("--student-layers", "3"),
        ("--student-layers", "2,last3"),
        ("--alpha-start-update", 9),
        ("--alpha-warmup-updates", 9),
        ("--student-sampling", 1, "--student-layers", "2,3"),
        ("--student-head", "own"),
    ],
    ids=lambda flags: " ".join(map(str, flags)),
)
def test_each_option_changes_the_gradients(flags):
    ours, changed = build(*STUDENT), build(*STUDENT, *flags)
    moved = []
    for update in (0, 3, 5):  # of which some draw the other student
        expected, found = (step(*each, batch(), update)[2] for each in (ours, changed))
        moved += [(found[name] - expected[name]).abs().max() for name in expected]
    assert max(moved) > 1e-5


def test_with_a_stop_gradient_layers_above_the_student_learn_from_the_labels_alone():
    def found(*flags):
        return step(*build(*STUDENT, *flags), batch())[2]

    with_kl = found("--student-ce", 0, "--kl-gradient", "student")
    without = found(*OFF)
    above = [n for n in with_kl if "layers.3" in n]
    below = [n for n in with_kl if "layers.1.fc" in n]
    assert max((with_kl[n] - without[n]).abs().max() for n in above) < 1e-6
    assert min((with_kl[n] - without[n]).abs().max() for n in below) > 1e-6


def test_validation_counts_all_sentences_of_all_batches_and_workers():
    """Figures are of labels that are words; F1 and MCC are no means over batches."""
    model, criterion = build(*STUDENT)
    model.eval()
    logged, said, true = [], {"": [], "student_2_": []}, []
    for seed in range(4):
        sample = batch(sentences=5 + seed, seed=seed)
        with torch.no_grad():
            logged.append(criterion(model, sample)[2])
            outputs = {"": logits(model, sample), "student_2_": logits(model.student(2), sample)}
        for name, output in outputs.items():
            said[name] += output.argmax(dim=1).tolist()
        true += sample["target"].view(-1).tolist()
    with metrics.aggregate(new_root=True) as aggregate:
        for some in (logged[:2], logged[2:]):  # two workers' batches, twice
            type(criterion).reduce_metrics(some)
    found = aggregate.get_smoothed_values()
    for name, predictions in said.items():
        accuracy = 100 * sum(a == b for a, b in zip(true, predictions, strict=True)) / len(true)
        assert found[f"{name}accuracy"] == pytest.approx(accuracy, abs=0.01)
        f1 = 100 * f1_score(true, predictions, average="macro")
        assert found[f"{name}f1"] == pytest.approx(f1, abs=0.01)
        mcc = 100 * matthews_corrcoef(true, predictions)
        assert found[f"{name}mcc"] == pytest.approx(mcc, abs=0.01)
    nats = sum(log["nll_loss"].item() for log in logged)
    assert found["nll_loss"] == pytest.approx(nats / len(true) / math.log(2), abs=1e-3)
    assert not [name for name in found if "confusion" in name]


@pytest.mark.parametrize("classes", [2, 3])
def test_of_two_labels_f1_is_that_of_the_later_in_the_alphabet(classes):
    """Whatever number fairseq has given it, and however many the head tells apart."""
    model, criterion = build(*STUDENT, "--num-classes", classes, labels=("warm", "cold"))
    model.eval()
    sample = batch(sentences=40)
    sample["target"] = (sample["target"] == 0).long()
    with metrics.aggregate(new_root=True) as aggregate, torch.no_grad():
        type(criterion).reduce_metrics([criterion(model, sample)[2]])
        said = logits(model, sample)[:, :2].argmax(dim=1)
    f1 = 100 * f1_score(sample["target"].view(-1), said, pos_label=0)
    assert aggregate.get_smoothed_values()["f1"] == pytest.approx(f1, abs=0.01)


@pytest.mark.parametrize("head", ["shared", "own"])
def test_under_ddp_with_unused_parameters_alone(head, tmp_path, monkeypatch):
    """The head for masked words learns nothing, nor do those of students that are not drawn."""
    flags = ("--student-layers", "2,3", "--student-sampling", 1, "--student-head", head)
    with monkeypatch.context() as context:
        context.setattr(criterions, "get_data_parallel_world_size", lambda: 2)
        with pytest.raises(ValueError, match=r"pytorch_ddp fails .* add --find-unused"):
            build(*flags)
        model, criterion = build(*flags, "--find-unused-parameters")
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        parallel = DistributedDataParallel(model.train(), find_unused_parameters=True)
        for update in range(4):
            model.set_num_updates(update)
            criterion(ModuleProxyWrapper(parallel), batch(seed=update))[0].backward()
        assert model.classification_heads[HEAD].dense.weight.grad.any()
    finally:
        torch.distributed.destroy_process_group()


def test_a_depth_that_the_architecture_says():
    """As hydra leaves it, which does not tell the model of heads of students' own, either."""
    cfg = settings()
    cfg.criterion.encoder_layers = None
    criterion = task(cfg).build_criterion(cfg.criterion)
    assert list(map(str, criterion.students)) == ["6"]
    model, _ = build()
    own = build("--student-head", "own")[1]
    with pytest.raises(ValueError, match=r"--student-head own: .* use fairseq-train"):
        own(model, batch())


@pytest.mark.parametrize(
    "flags, choices, message",
    [
        (("--student-layers", "5"), {}, "--student-layers 5: .* choose 1 to 4"),
        (("--student-layers", "2x1"), {}, "--student-layers 2x1: .* no choice of layers"),
        (("--encoder-layers", 1), {}, "there is no smaller student"),
        (("--encoder-layerdrop", 0.1), {}, "--encoder-layerdrop 0.1"),
        (("--alpha", -1), {}, "--alpha -1.0"),
        (("--kl-temperature", 0), {}, "--kl-temperature 0.0"),
        (("--student-sampling", 2), {}, "--student-sampling 2: choose 1 to 1"),
        (("--teacher-weight", 0.5), {}, "--teacher-weight 0.5 needs --teacher"),
        (("--regression-target",), {}, "--regression-target"),
        (("--mha-reg-scale-factor", 0.1), {}, "--mha-reg-scale-factor 0.1"),
        (("--num-classes", 2), {}, "--num-classes 2: the text has 3 labels"),
        (("--classification-head-name", "a_student_2"), {}, "own heads are named so"),
        ((), {"labels": ("warm", "madeupword0000")}, "1 label, warm: there is nothing to tell"),
        ((), {"arch": "roberta"}, "--arch roberta has no students: .* roberta_selfteach"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_does_not_fit_is_refused_at_start(flags, choices, message):
    with pytest.raises(ValueError, match=message):
        build(*flags, **choices)


def test_a_label_that_training_has_not_seen_is_refused():
    model, criterion = build()
    sample = batch()
    for wrong in (-1, len(LABELS)):
        sample["target"][2] = wrong
        with pytest.raises(ValueError, match="a label that the training text has not"):
            criterion(model, sample)


@pytest.mark.parametrize(
    "choices, message",
    [
        ({"flags": ("--max-positions", 16)}, "reads up to 16 tokens: add --max-positions 16"),
        ({"flags": ("--num-classes", 4)}, "no head .* of 3 classes"),
    ],
    ids=["short", "other classes"],
)
def test_a_teacher_that_does_not_fit_is_refused(choices, message, tmp_path):
    flags, path = choices["flags"], tmp_path / "teacher.pt"
    stock = {"arch": "roberta", **PLAIN}
    Checkpoint.of(checkpoint_of(build(*flags, **stock)[0], *flags, **stock)).write(path)
    with pytest.raises(ValueError, match=message):
        build("--teacher", path)


def test_distillation_learns_from_labels_and_teacher(teacher):
    name = {"criterion": "sentence_prediction_distillation", "arch": "roberta"}
    flags = ("--teacher", teacher, "--teacher-weight", 0.3, "--teacher-temperature", 2)
    model, criterion = build(*flags, **name)
    loss, _, _ = step(model, criterion, batch())
    with torch.no_grad():
        taught = logits(criterion.teacher.model, batch()).double()
    expected = reference_loss(
        logits(model, batch()).double(),
        [],
        batch()["target"].view(-1),
        **{"label_smoothing": 0, "alpha": 0, "student_ce": 0, "divergence": "kl"},
        **{"kl_gradient": "both", "kl_temperature": 1.0, "teacher_logits": taught},
        **{"teacher_weight": 0.3, "teacher_temperature": 2.0},
    )["loss"]
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    assert not criterion.teacher.model.training and not list(criterion.parameters())
    for flag, value in (("--teacher-weight", 0.9), ("--teacher-temperature", 1)):
        other = step(*build(*flags, flag, value, **name), batch())[0]
        assert abs(other - loss) > 1e-4
    with pytest.raises(ValueError, match="needs --teacher"):
        build(**name)


def test_a_translators_criterion_refuses_a_classifier_as_teacher(teacher):
    with pytest.raises(ValueError, match="has no decoder"):
        tiny.build("--teacher", teacher)
