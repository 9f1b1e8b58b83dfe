"""What several criteria have in common."""

import pytest
import torch
from fairseq.logging import metrics
from tiny import batch, build, distance, step

PLAIN = {"criterion": "label_smoothed_cross_entropy"}


def assert_learns_as_fairseqs(ours, flags, **choices):
    """One update; `ours` are the criterion's own flags. Returns: what it logs."""
    loss, logged, found = step(*build(*flags, *ours, **choices), batch())
    expected_loss, expected_logged, expected = step(*build(*flags, **{**choices, **PLAIN}), batch())
    torch.testing.assert_close(loss, expected_loss)
    assert distance(found, expected) < 1e-5
    for key in expected_logged:
        assert float(logged[key]) == pytest.approx(float(expected_logged[key]), rel=1e-6), key
    return logged


def assert_validates_as_fairseqs(ours, **choices):
    model, criterion = build("--dropout", 0.3, *ours, **choices)
    expected_model, expected = build("--dropout", 0.3, **{**choices, **PLAIN})
    with torch.no_grad():
        loss, _, logged = criterion(model.eval(), batch())
        assert loss == expected(expected_model.eval(), batch())[0] and "kl" not in logged
    with metrics.aggregate(new_root=True) as aggregate:
        type(criterion).reduce_metrics([logged])
    assert set(aggregate.get_smoothed_values()) == {"loss", "nll_loss", "ppl"}


def assert_the_teacher_is_left_as_it_is(model, criterion):
    held = criterion.teacher.model
    before = {name: tensor.clone() for name, tensor in held.state_dict().items()}
    criterion.train()
    assert distance(step(model, criterion, batch())[2], step(model, criterion, batch())[2]) == 0
    assert not held.training and all(p.grad is None for p in held.parameters())
    assert all(torch.equal(tensor, before[n]) for n, tensor in held.state_dict().items())
    # It is in no state_dict, and no optimizer's or wrapper's business.
    assert not list(criterion.parameters()) and not criterion.state_dict()
