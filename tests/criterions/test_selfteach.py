import math

import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from fairseq.logging import metrics
from omegaconf import OmegaConf
from prefork import settings_of
from reference import reference_loss
from teachers import saved
from tiny import PAD, TYPES, batch, build, distance, gradients, settings, step, task
from torch.utils._python_dispatch import TorchDispatchMode

from selfteach_fairseq.criterions.selfteach import SelfteachCriterion

STUDENT = ("--student-layers", "2x1")
PLAIN = {"criterion": "label_smoothed_cross_entropy"}
OFF = ("--alpha", "0", "--student-ce", "0")


def gradients_of(*flags, update=0):
    return step(*build(*STUDENT, *flags), batch(), update)[2]


def test_the_loss_is_the_reference_behind_the_models_own_students():
    model, criterion = build(*STUDENT, "--alpha", 0.7, "--student-ce", 0.3)
    sample = batch()
    loss, logged, found = step(model, criterion, sample)

    model.zero_grad()
    rows = sample["target"].ne(PAD)
    full = model(**sample["net_input"])[0][rows]
    student = model.student(2, 1)(**sample["net_input"])[0][rows]
    expected = reference_loss(
        full.double(),
        [student.double()],
        sample["target"][rows],
        label_smoothing=0.1,
        alpha=0.7,
        student_ce=0.3,
        divergence="kl",
        kl_gradient="both",
        kl_temperature=1.0,
    )
    expected["loss"].backward()
    torch.testing.assert_close(loss.double(), expected["loss"].detach(), rtol=1e-5, atol=1e-5)
    assert logged["kl"].item() == pytest.approx(expected["kl"][0], rel=1e-4)
    assert logged["nll_loss"].item() == pytest.approx(expected["nll"], rel=1e-5)
    assert logged["student_2x1_nll_loss"].item() == pytest.approx(
        expected["student_nll"][0], rel=1e-5
    )
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("extra", [(), ("--ignore-prefix-size", 2, "--sentence-avg")])
def test_switched_off_it_is_fairseqs_criterion(extra):
    """Invariant 2: same losses, gradients, and parameters after some updates."""
    ours = build(*STUDENT, *OFF, *extra, "--report-accuracy")
    fairseqs = build(*extra, "--report-accuracy", **PLAIN)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model, _ in (ours, fairseqs)]
    for seed in range(5):
        sample = batch(seed=seed)
        loss, logged, found = step(*ours, sample)
        plain_loss, plain_logged, expected = step(*fairseqs, sample)
        torch.testing.assert_close(loss, plain_loss, rtol=1e-6, atol=1e-5)
        assert logged.keys() == plain_logged.keys()  # no student was run
        for key in logged:
            assert float(logged[key]) == pytest.approx(float(plain_logged[key]), rel=1e-6), key
        assert found.keys() == expected.keys()
        assert distance(found, expected) < 1e-5
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(ours[0].parameters(), fairseqs[0].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_model_that_knows_nothing_is_as_right_as_fairseq_says():
    """Its types are ranked alike, and the first one counts as its answer."""
    correct = []
    for model, criterion in (build("--report-accuracy"), build("--report-accuracy", **PLAIN)):
        torch.nn.init.zeros_(model.decoder.output_projection.weight)
        sample = batch()
        sample["target"][:, 0] = 0  # the first type
        correct.append(int(step(model, criterion, sample)[1]["n_correct"]))
    assert correct[0] == correct[1] == len(sample["target"])


def test_the_kl_moves_the_student_only_if_so_asked():
    """Invariant 3: with a stop-gradient, layers above the student learn from the CE alone."""
    kl_only = ("--student-ce", 0, "--kl-gradient", "student")
    with_kl, without = gradients_of(*kl_only), gradients_of(*OFF)
    above = [n for n in with_kl if "encoder.layers.3" in n or "decoder.layers.2" in n]
    below = [n for n in with_kl if "encoder.layers.1" in n or "decoder.layers.0.fc" in n]
    assert above and below
    assert max((with_kl[n] - without[n]).abs().max() for n in above) < 1e-6
    assert (
        min((with_kl[n] - without[n]).abs().max() for n in below if "k_proj.bias" not in n) > 1e-6
    )
    both = gradients_of("--student-ce", 0, "--kl-gradient", "both")
    assert max((both[n] - without[n]).abs().max() for n in above) > 1e-3


@pytest.mark.parametrize(
    "flags",
    [
        ("--alpha", 3),
        ("--student-ce", 0.5),
        ("--divergence", "symmetric"),
        ("--kl-gradient", "student"),
        ("--kl-temperature", 2),
        ("--label-smoothing", 0.2),
        ("--student-layers", "1x1"),
        ("--student-layers", "2x1,3"),
        ("--ignore-prefix-size", 1),
    ],
    ids=lambda flags: " ".join(map(str, flags)),
)
def test_each_option_changes_the_gradients(flags):
    default = gradients_of()
    assert distance(default, gradients_of()) == 0
    assert distance(default, gradients_of(*flags)) > 1e-3


def test_students_drop_what_the_model_does_not_unless_they_share():
    """So they are further from it. Without dropout there is nothing to share."""

    def kl(*flags):
        torch.manual_seed(1)
        return step(*build("--student-layers", "4x2", "--dropout", 0.3, *flags), batch())[1]["kl"]

    def distance_under(*flags):
        def found(dropout):
            torch.manual_seed(1)
            return gradients_of(*flags, "--student-dropout", dropout)

        return distance(found("own"), found("shared"))

    assert distance_under() == 0
    assert distance_under("--dropout", 0.3) > 1e-3
    assert kl() > 1.1 * kl("--student-dropout", "shared")


def test_alpha_starts_and_rises_in_training_only():
    flags = (*STUDENT, "--alpha-start-update", 10, "--alpha-warmup-updates", 20)
    model, criterion = build(*flags)
    alphas = [criterion.alpha_at(update) for update in (0, 9, 10, 15, 29, 30, 1000)]
    assert alphas == pytest.approx([0, 0, 0, 0.25, 0.95, 1, 1])

    at = {update: step(model, criterion, batch(), update)[2] for update in (0, 9, 15, 30, 99)}
    assert distance(at[0], at[9]) == 0
    assert distance(at[9], gradients_of("--alpha", 0)) == 0
    assert distance(at[9], at[15]) > 1e-3
    assert distance(at[15], gradients_of("--alpha", 0.25)) < 1e-5
    assert distance(at[15], at[30]) > 1e-3
    assert distance(at[30], at[99]) == 0

    model.eval()
    model.set_num_updates(0)
    expected, criterion_without_warmup = build(*STUDENT)
    assert torch.equal(
        criterion(model, batch())[0], criterion_without_warmup(expected.eval(), batch())[0]
    )


def test_validation_shows_students_that_training_does_not_run():
    model, criterion = build("--student-layers", "2x1,3", *OFF)
    assert "kl" not in step(model, criterion, batch())[1]
    with torch.no_grad():
        logged = criterion(model.eval(), batch())[2]
    assert {"kl", "student_2x1_nll_loss", "student_3x3_nll_loss"} <= logged.keys()


def logged_after(outputs):
    with metrics.aggregate(new_root=True) as aggregate:
        SelfteachCriterion.reduce_metrics(outputs)
    return aggregate.get_smoothed_values()


def test_figures_are_bits_per_token_and_sum_over_workers():
    model, criterion = build("--student-layers", "2x1,3")
    halves = [step(model, criterion, batch(seed=seed))[1] for seed in (1, 2)]
    together = logged_after(halves)
    summed = {key: sum(half[key] for half in halves) for key in halves[0]}
    assert SelfteachCriterion.logging_outputs_can_be_summed()
    assert logged_after([summed]) == together
    assert set(together) == {
        *("loss", "nll_loss", "ppl", "kl"),
        *("student_2x1_nll_loss", "student_2x1_ppl", "student_3x3_nll_loss", "student_3x3_ppl"),
    }
    bits = summed["student_2x1_nll_loss"].item() / summed["ntokens"] / math.log(2)
    assert together["student_2x1_nll_loss"] == pytest.approx(bits, abs=1e-3)
    assert together["student_2x1_ppl"] == pytest.approx(2**bits, rel=1e-2)


def test_padding_and_the_order_of_the_batch_change_nothing():
    """Invariant 8."""
    sample, order = batch(), torch.tensor([3, 1, 4, 0, 2])
    pad = torch.nn.functional.pad
    inputs = sample["net_input"]
    wider = {
        **sample,
        "net_input": {
            "src_tokens": pad(inputs["src_tokens"][order], (3, 0), value=PAD),
            "src_lengths": inputs["src_lengths"][order],
            "prev_output_tokens": pad(inputs["prev_output_tokens"][order], (0, 2), value=PAD),
        },
        "target": pad(sample["target"][order], (0, 2), value=PAD),
    }
    model, criterion = build(*STUDENT)
    loss, _, expected = step(model, criterion, sample)
    same_loss, _, found = step(model, criterion, wider)
    torch.testing.assert_close(loss, same_loss, rtol=1e-6, atol=1e-5)
    assert distance(found, expected) < 1e-4


def test_drawn_students_alone_learn():
    """--student-sampling: an update is the one with the students it drew, whatever came before."""
    several = ("--student-layers", "3,2x1,1")
    model, criterion = build(*several, "--student-sampling", 1)
    drawn = [criterion.students_at(update) for update in range(60)]
    assert {len(students) for students in drawn} == {1}
    counts = {student: drawn.count((student,)) for student in criterion.students}
    assert min(counts.values()) > 10
    assert build(*several, "--student-sampling", 1)[1].students_at(7) == drawn[7]
    two = build(*several, "--student-sampling", 2)[1]
    assert all(len(two.students_at(update)) == 2 for update in range(9))

    for update in range(3):
        (student,) = drawn[update]
        _, logged, found = step(model, criterion, batch(), update)
        assert distance(found, step(*build("--student-layers", student), batch())[2]) == 0
        assert [key for key in logged if key.startswith("student")] == [
            f"student_{student}_nll_loss"
        ]
    with torch.no_grad():
        validated = criterion(model.eval(), batch())[2]
    assert sum(key.startswith("student") for key in validated) == 3


class LogitsSeen(TorchDispatchMode):
    """The most tokens whose logits, or anything of that shape, one tensor holds."""

    tokens = 0
    projections = ((16, TYPES), (32, TYPES))  # transposed: the model's and a teacher's

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        shape = getattr(result, "shape", ())
        if len(shape) > 1 and shape[-1] == TYPES and shape[-2:] not in self.projections:
            self.tokens = max(self.tokens, shape[-2])
        return result


@pytest.mark.parametrize("has_teacher", [False, True])
def test_no_more_logits_are_held_than_one_asks_for(has_teacher, tmp_path):
    teacher = ("--teacher", saved(tmp_path)[1]) if has_teacher else ()

    def most_tokens(*flags):
        model, criterion = build(*STUDENT, *teacher, *flags)
        with LogitsSeen() as seen:
            gradients = step(model, criterion, batch())[2]
        return seen.tokens, gradients

    tokens, expected = most_tokens()
    assert tokens == batch()["ntokens"]  # the padding is left out
    fewer, found = most_tokens("--loss-chunk-tokens", 3)
    assert fewer == 3
    assert distance(found, expected) < 1e-5


def test_a_batch_of_padding_only_teaches_nothing():
    sample = batch()
    sample["target"] = torch.full_like(sample["target"], PAD)
    loss, _, found = step(*build(*STUDENT), sample)
    assert loss == 0
    assert all(gradient.abs().max() == 0 for gradient in found.values())


def test_the_default_student_has_half_the_layers():
    _, criterion = build("--encoder-layers", 6, "--decoder-layers", 3)
    assert [str(student) for student in criterion.students] == ["3x1"]


def test_per_token_losses_are_refused():
    model, criterion = build(*STUDENT)
    with pytest.raises(NotImplementedError, match="summed"):
        criterion(model, batch(), reduce=False)


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--student-layers", "5"), "--student-layers 5: .* choose 1 to 4"),
        (("--student-layers", "0"), "--student-layers 0: .* choose 1 to 4"),
        (("--student-layers", "2,4x3"), "--student-layers 2,4x3: 4x3 is the whole model"),
        (("--encoder-layers", "1", "--decoder-layers", "1"), "there is no smaller student"),
        (("--student-layers", "2x"), "--student-layers 2x: .* no choice of layers"),
        (("--encoder-layerdrop", "0.1"), "--encoder-layerdrop 0.1"),
        (("--decoder-layerdrop", "0.2"), "--decoder-layerdrop 0.2"),
        (("--adaptive-softmax-cutoff", "10"), "--adaptive-softmax-cutoff"),
        (("--alpha", "-1"), "--alpha -1.0"),
        (("--student-ce", "-1"), "--student-ce -1.0"),
        (("--kl-temperature", "0"), "--kl-temperature 0.0"),
        (("--quant-noise-scalar", "0.5"), "--quant-noise-scalar 0.5"),
        (("--ddp-backend", "fully_sharded"), "--ddp-backend fully_sharded .* use pytorch_ddp"),
        (("--loss-chunk-tokens", "0"), "--loss-chunk-tokens 0"),
        (("--student-sampling", "0"), "--student-sampling 0: choose 1 to 1"),
        (("--student-layers", "2,1", "--student-sampling", "3"), "choose 1 to 2"),
        (
            ("--student-layers", "2,1x2", "--best-checkpoint-metric", "student_2_nll_loss"),
            "student_2_nll_loss: is of none .* student_2x2_nll_loss, student_1x2_nll_loss, ",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(flags, message):
    with pytest.raises(ValueError, match=message):
        task().build_criterion(settings(*flags).criterion)


def test_another_architecture_is_refused_at_the_start():
    cfg = settings(arch="transformer")
    with pytest.raises(ValueError, match="--arch transformer has no students"):
        task().build_criterion(cfg.criterion)


@pytest.mark.parametrize("arch", ["lstm", "fconv", "lightconv", "transformer_align"])
@pytest.mark.parametrize("criterion", ["label_smoothed_ce_selfteach", "word_level_distillation"])
def test_models_of_another_kind_are_refused_in_one_line(arch, criterion):
    """Their settings lack some of those that are checked, or have others under the name."""
    cfg = settings_of("data", "--arch", arch, "--criterion", criterion)
    message = {
        "label_smoothed_ce_selfteach": f"^--arch {arch} has no students: .* needs --arch",
        "word_level_distillation": "needs --teacher",  # it takes any student
    }[criterion]
    with pytest.raises(ValueError, match=message):
        task().build_criterion(cfg.criterion)


def test_settings_survive_the_checkpoint():
    cfg = settings(*STUDENT, "--divergence", "symmetric", "--alpha", 2)
    saved = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))
    there = task().build_criterion(saved.criterion)
    assert (there.cfg.divergence, there.cfg.alpha) == ("symmetric", 2)


def test_label_smoothing_is_fairseqs():
    model, criterion = build(*STUDENT, *OFF)
    sample = batch()
    with torch.no_grad():
        model.train()
        log_probs = model(**sample["net_input"])[0].log_softmax(-1).view(-1, 37)
        expected, _ = label_smoothed_nll_loss(
            log_probs, sample["target"].view(-1), 0.1, ignore_index=PAD
        )
        torch.testing.assert_close(criterion(model, sample)[0], expected)
