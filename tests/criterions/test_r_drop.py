"""R-Drop: the divergence between two passes of one model."""

import pytest
import torch
from agreement import assert_learns_as_fairseqs, assert_validates_as_fairseqs
from reference import kl, log_probabilities, smoothed_cross_entropy
from tiny import PAD, batch, build, distance, settings, step, task, trainer

from selfteach_fairseq.criterions import passes

R_DROP = {"arch": "transformer_iwslt_de_en", "criterion": "r_drop"}


@pytest.mark.parametrize("alpha", [0.0, 5.0])
def test_it_is_the_formula(alpha):
    model, criterion = build("--dropout", 0.3, "--r-drop-alpha", alpha, **R_DROP)
    sample = batch()
    torch.manual_seed(3)
    loss, logged, found = step(model, criterion, sample)

    model.zero_grad()
    torch.manual_seed(3)
    inputs = {key: torch.cat([value, value]) for key, value in sample["net_input"].items()}
    rows = sample["target"].ne(PAD)
    passes = [logits[rows].double() for logits in model(**inputs)[0].chunk(2)]
    expected, divergence = 0.0, 0.0
    for z1, z2, y in zip(*passes, sample["target"][rows], strict=True):
        p1, p2 = log_probabilities(z1), log_probabilities(z2)
        apart = (kl(p1, p2) + kl(p2, p1)) / 2
        own = smoothed_cross_entropy(p1, y, 0.1) + smoothed_cross_entropy(p2, y, 0.1)
        expected += (own + alpha * apart) / 2  # half of the paper's sum
        divergence += apart.item()
    expected.backward()
    assert divergence > 0.1
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    assert logged["kl"].item() == pytest.approx(divergence, rel=1e-4)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("extra", [(), ("--ignore-prefix-size", 2, "--sentence-avg")])
def test_without_dropout_it_is_fairseqs_criterion(extra):
    """Both passes are one then, so there is nothing between them."""
    logged = assert_learns_as_fairseqs((), (*extra, "--report-accuracy"), **R_DROP)
    assert abs(logged["kl"].item()) < 1e-5


@pytest.mark.parametrize("dropout", [0, 0.3])
@pytest.mark.parametrize("criterion", ["r_drop", "intra_distillation"])
def test_passes_that_are_equal_are_told_of(criterion, dropout, monkeypatch):
    said = []
    monkeypatch.setattr(passes.logger, "warning", said.append)
    model, criterion = build("--dropout", dropout, "--max-update", 9, criterion=criterion)
    for _ in range(2):
        step(model, criterion, batch())
    assert ["nothing in this model drops" in text for text in said] == [True] * (dropout == 0)


def test_validation_is_fairseqs_criterion():
    assert_validates_as_fairseqs((), **R_DROP)


def test_alpha_changes_the_gradients():
    steps = []
    for flags in ((), ("--r-drop-alpha", 1)):
        model, criterion = build("--dropout", 0.3, *flags, **R_DROP)
        torch.manual_seed(3)
        steps.append(step(model, criterion, batch())[2])
    assert distance(*steps) > 1e-3


def test_fairseqs_trainer_takes_it(tmp_path):
    training = trainer("--dropout", 0.3, save_dir=tmp_path, **R_DROP)
    training.begin_epoch(1)
    logged = training.train_step([batch(seed=1), batch(seed=2)])
    assert logged["kl"] > 0 and training.get_num_updates() == 1


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match=r"--r-drop-alpha -1.0: must not be negative"):
        task().build_criterion(settings("--r-drop-alpha", -1, **R_DROP).criterion)
    model, criterion = build(**R_DROP)
    with pytest.raises(NotImplementedError, match="summed"):
        criterion(model.train(), batch(), reduce=False)
