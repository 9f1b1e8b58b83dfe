"""The whole model as a student of itself: its second pass, under other dropout, as in R-Drop."""

import pytest
import torch
from fairseq.modules import FairseqDropout
from reference import reference_loss
from tiny import PAD, batch, build, distance, gradients, settings, step, task

DROPOUT = ("--dropout", "0.3")  # of a model of 4x3 layers
PLAIN = {"criterion": "label_smoothed_cross_entropy"}


@pytest.mark.parametrize("students", [(3,), (1, 3)], ids=str)
def test_the_loss_is_of_two_passes(students):
    """Dropout is left to the encoder, so that decoders can be run one after the other here."""
    flags = ",".join(f"4x{depth}" for depth in students)
    model, criterion = build("--student-layers", flags, *DROPOUT)
    for part in model.decoder.modules():
        if isinstance(part, FairseqDropout):
            part.p = 0.0
    sample = batch()
    torch.manual_seed(3)
    loss, logged, found = step(model, criterion, sample)

    model.zero_grad()
    torch.manual_seed(3)
    given, rows = sample["net_input"], sample["target"].ne(PAD)
    first, second = (model.encoder(given["src_tokens"], given["src_lengths"]) for _ in range(2))

    def said(depth, encoder_out):
        decoder = model.student(4, depth).decoder
        return decoder(given["prev_output_tokens"], encoder_out=encoder_out)[0][rows].double()

    expected = reference_loss(
        said(3, first),
        [said(depth, second) for depth in students],
        sample["target"][rows],
        label_smoothing=0.1,
        alpha=1.0,
        student_ce=1.0,
        divergence="kl",
        kl_gradient="both",
        kl_temperature=1.0,
    )
    expected["loss"].backward()
    torch.testing.assert_close(loss.double(), expected["loss"].detach(), rtol=1e-5, atol=1e-5)
    for depth, nll in zip(students, expected["student_nll"], strict=True):
        assert logged[f"student_4x{depth}_nll_loss"].item() == pytest.approx(nll, rel=1e-5)
    assert logged["kl"].item() == pytest.approx(sum(expected["kl"]) / len(students), rel=1e-4)
    assert logged["kl"] > 1
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_the_decoder_drops_something_else_in_it_too():
    """With dropout in the decoder alone the passes differ."""
    model, criterion = build("--student-layers", "4x3", *DROPOUT)
    for part in model.encoder.modules():
        if isinstance(part, FairseqDropout):
            part.p = 0.0
    assert step(model, criterion, batch())[1]["kl"] > 1


def test_validation_is_without_it():
    sample = batch()
    logs = {}
    for students in ("4x3", "4x1", "4x1,4x3"):
        model, criterion = build("--student-layers", students, *DROPOUT)
        *_, logs[students] = criterion(model.eval(), sample)
    assert logs["4x1,4x3"].keys() == logs["4x1"].keys()
    for name, value in logs["4x1"].items():
        assert logs["4x1,4x3"][name] == value, name

    model, criterion = build(*DROPOUT, **PLAIN)
    plain_loss, _, plain = criterion(model.eval(), sample)
    assert logs["4x3"].keys() == plain.keys()
    torch.testing.assert_close(logs["4x3"]["loss"], plain_loss.detach(), rtol=1e-6, atol=1e-5)


def test_it_is_drawn_as_others_are():
    flags = ("--student-layers", "4x3,2x1", *DROPOUT)
    model, criterion = build(*flags, "--student-sampling", 1)
    drawn = {update: criterion.students_at(update) for update in range(20)}
    for students in {*drawn.values()}:
        update = next(number for number in drawn if drawn[number] == students)
        alone = build("--student-layers", str(students[0]), *DROPOUT)
        gradients_of = []
        for each in ((model, criterion), alone):
            torch.manual_seed(5)
            gradients_of.append(step(*each, batch(), update)[2])
        assert distance(*gradients_of) == 0
    assert {str(student) for (student,) in drawn.values()} == {"4x3", "2x1"}


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--student-layers", "4x3", "--dropout", "0"), "4x3 is the whole model: .* --dropout"),
        (
            ("--student-layers", "2,4x3", "--student-dropout", "shared"),
            "--student-layers 2,4x3: 4x3 is the whole model",
        ),
        (("--student-layers", "4x3,last4x3"), "last4x3 is the same layers as 4x3"),
        (
            ("--best-checkpoint-metric", "student_4x3_nll_loss", "--student-layers", "4x3"),
            "student_4x3_nll_loss: is of none of the students: name loss",
        ),
        (
            ("--best-checkpoint-metric", "kl", "--student-layers", "4x3"),
            "--best-checkpoint-metric kl: there is no smaller student: name loss",
        ),
        (
            ("--best-checkpoint-metric", "student_4x3_nll_loss", "--student-layers", "4x3,4x1"),
            "student_4x3_nll_loss: is of none of the students: name one of student_4x1_nll_loss, ",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(flags, message):
    with pytest.raises(ValueError, match=message):
        task().build_criterion(settings(*DROPOUT, *flags).criterion)
