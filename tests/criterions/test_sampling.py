"""Which tokens an update draws, and what the students learn from them: --student-tokens."""

import math

import pytest
import torch
from reference import reference_loss
from test_selfteach import logged_after
from tiny import PAD, batch, build, distance, gradients, settings, step, task

from selfteach_fairseq.criterions.sampling import draw_tokens

SEVERAL = ("--student-layers", "3,2x1,1")
HALF = (*SEVERAL, "--student-tokens", 0.5)
LENGTHS = (9, 1, 0, 4, 7)
UPDATES = 600


def numbered(**options):
    """A batch as a data set gives it."""
    sample = batch(**options)
    return {**sample, "id": torch.arange(len(sample["target"])) + 100 * options.get("seed", 0)}


def present(*lengths):
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.4, 0.5, 0.9, 1.0])
def test_every_token_is_drawn_as_often(share):
    tokens, sentences = present(*LENGTHS), torch.arange(len(LENGTHS))
    often = torch.zeros(tokens.shape)
    for update in range(UPDATES):
        drawn = draw_tokens(tokens, sentences, update, share)
        assert not (drawn & ~tokens).any()
        for length, count in zip(LENGTHS, drawn.sum(dim=1).tolist(), strict=True):
            assert math.floor(length * share) <= count <= math.ceil(length * share)
        often += drawn
    deviation = math.sqrt(share * (1 - share) / UPDATES)
    assert ((often / UPDATES)[tokens] - share).abs().max() <= 4 * deviation


def test_a_sentence_draws_the_same_in_any_batch():
    tokens = present(*LENGTHS)
    alone = draw_tokens(present(7), torch.tensor([31]), 12, 0.4)
    beside = draw_tokens(tokens, torch.tensor([4, 8, 15, 16, 31]), 12, 0.4)
    assert torch.equal(beside[-1, :7], alone[0])
    padded = draw_tokens(tokens.flip(1), torch.tensor([4, 8, 15, 16, 31]), 12, 0.4)
    assert torch.equal(padded[-1, -7:], alone[0])


def test_updates_and_sentences_draw_apart():
    tokens = present(*[20] * 50)
    one = draw_tokens(tokens, torch.arange(50), 1, 0.25)
    other = draw_tokens(tokens, torch.arange(50), 2, 0.25)
    further = draw_tokens(tokens, torch.arange(50) + 50, 1, 0.25)
    for drawn in (other, further):
        assert 5 < (drawn == one).all(dim=1).sum() < 25  # of four starts a quarter are the same


@pytest.mark.parametrize("flags", [(), ("--ignore-prefix-size", 1), ("--loss-chunk-tokens", 4)])
def test_the_loss_is_the_reference_on_the_drawn_tokens(flags):
    model, criterion = build(*SEVERAL, "--student-tokens", 0.4, *flags)
    sample, update = numbered(), 7
    loss, logged, found = step(model, criterion, sample, update)

    model.zero_grad()
    ignored = slice(criterion.ignore_prefix_size, None)
    target = sample["target"][:, ignored]
    rows = target.ne(PAD)
    drawn = draw_tokens(rows, sample["id"], update, 0.4)[rows]
    assert 0 < drawn.sum() < len(drawn)

    def logits(of):
        return of(**sample["net_input"])[0][:, ignored][rows].double()

    expected = reference_loss(
        logits(model),
        [logits(model.student(student)) for student in criterion.students],
        target[rows],
        label_smoothing=0.1,
        alpha=1.0,
        student_ce=1.0,
        divergence="kl",
        kl_gradient="both",
        kl_temperature=1.0,
        token_weights=[[1] * len(drawn), *[(drawn / 0.4).tolist()] * 2],
    )
    expected["loss"].backward()
    torch.testing.assert_close(loss.double(), expected["loss"].detach(), rtol=1e-5, atol=1e-5)
    assert logged["nll_loss"].item() == pytest.approx(expected["nll"], rel=1e-5)
    assert logged["kl"].item() == pytest.approx(sum(expected["kl"]) / 3, rel=1e-4)
    for student, nll in zip(criterion.students, expected["student_nll"], strict=True):
        assert logged[student.metric].item() == pytest.approx(nll, rel=1e-5)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_what_is_logged_is_right_on_average():
    model, criterion = build(*HALF)
    model.train()
    logs = []
    with torch.no_grad():
        for update in range(100):
            model.set_num_updates(update)
            logs.append(criterion(model, numbered())[2])
    found, expected = logged_after(logs), logged_after([step(*build(*SEVERAL), numbered())[1]])
    assert found.keys() == expected.keys()
    for key in ("loss", "kl", "student_2x1_nll_loss", "student_1x1_nll_loss"):
        assert found[key] == pytest.approx(expected[key], rel=0.02), key
    for key in ("nll_loss", "student_3x3_nll_loss"):  # on all tokens
        assert found[key] == pytest.approx(expected[key], abs=2e-3), key


def test_an_update_draws_by_its_number():
    model, criterion = build(*HALF)
    third, fourth = (step(model, criterion, numbered(), update)[2] for update in (3, 4))
    assert distance(third, fourth) > 1e-3
    assert distance(step(*build(*HALF), numbered(), 3)[2], third) == 0


def test_all_tokens_are_what_is_trained_without_the_option():
    default = step(*build(*SEVERAL), batch())[2]
    assert distance(step(*build(*SEVERAL, "--student-tokens", 1), batch())[2], default) == 0
    assert distance(step(*build(*HALF), numbered())[2], default) > 1e-3


def test_validation_is_on_all_tokens():
    with torch.no_grad():
        found, expected = (
            criterion(model.eval(), batch()) for model, criterion in (build(*HALF), build(*SEVERAL))
        )
    assert found[0] == expected[0]
    assert all(found[2][key] == value for key, value in expected[2].items())


def test_the_first_of_the_drawn_students_has_all_tokens():
    """In the order of --student-layers: there is nothing to draw for it."""
    model, criterion = build(*HALF, "--student-sampling", 2)
    first, second = criterion.students_at(5)
    _, logged, _ = step(model, criterion, numbered(), 5)
    whole = step(*build("--student-layers", f"{first},{second}"), numbered())[1]
    assert logged[first.metric] == pytest.approx(whole[first.metric].item(), rel=1e-6)
    assert logged[second.metric].item() != pytest.approx(whole[second.metric].item(), rel=1e-3)


@pytest.mark.parametrize(
    "flags, message",
    [
        ((*SEVERAL, "--student-tokens", 0), "--student-tokens 0.0: choose above 0, and 1 at most"),
        ((*SEVERAL, "--student-tokens", 1.5), "--student-tokens 1.5: choose above 0"),
        (("--student-tokens", 0.5), "--student-tokens 0.5 is for the second student .* leave it"),
        ((*HALF, "--student-sampling", 1), "--student-tokens 0.5 .* here an update has one"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(flags, message):
    with pytest.raises(ValueError, match=message):
        task().build_criterion(settings(*flags).criterion)
