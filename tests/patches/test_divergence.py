"""What ends a run: through fairseq's own trainer, in memory."""

from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.logging import metrics
from tiny import batch, trainer

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def run(tmp_path):
    metrics.reset()
    return trainer("--student-layers", "2x1", save_dir=tmp_path)


def save(run, val_loss):
    epoch = SimpleNamespace(epoch=1, end_of_epoch=lambda: True, state_dict=dict)
    checkpoint_utils.save_checkpoint(run.cfg.checkpoint, run, epoch, val_loss)


def test_only_finite_numbers_are_saved(run, tmp_path):
    for loss in (NAN, INF, -INF):
        with pytest.raises(SystemExit, match=f"diverged: --best-checkpoint-metric is {loss} "):
            save(run, loss)
    name, weight = next(iter(run.model.named_parameters()))
    for value in (NAN, INF):
        good = weight.data.clone()
        weight.data.view(-1)[3] = value
        for loss in (1.5, None):
            with pytest.raises(SystemExit, match=f"diverged: {name} is no longer finite, after"):
                save(run, loss)
        weight.data.copy_(good)
    assert not list(tmp_path.iterdir())

    save(run, 2.5)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("checkpoint1.pt", "checkpoint_best.pt", "checkpoint_last.pt")
    }
    with pytest.raises(SystemExit):
        save(run, NAN)
    save(run, 3.5)  # the best loss is no NaN, which every later one would beat
    best = torch.load(tmp_path / "checkpoint_best.pt", weights_only=True)
    assert best["extra_state"]["val_loss"] == 2.5


@pytest.fixture(autouse=True)
def fresh():
    """fairseq keeps the best loss in an attribute of its function."""
    vars(checkpoint_utils.save_checkpoint).pop("best", None)
    yield
    vars(checkpoint_utils.save_checkpoint).pop("best", None)


@pytest.mark.parametrize(
    "norms, error, message",
    [
        ((NAN, NAN), SystemExit, "training diverged: Fatal error: gradients are inconsistent"),
        ((1.5, INF), SystemExit, "training diverged: Fatal error: gradients are inconsistent"),
        ((1.5, 2.5), FloatingPointError, "Try --ddp-backend=legacy_ddp"),
    ],
)
def test_workers_that_disagree_have_not_diverged(run, monkeypatch, norms, error, message):
    """fairseq's message of two workers, which are not the same but for a NaN."""
    run._grad_norm_buf = torch.zeros(2)
    monkeypatch.setattr(
        "fairseq.trainer.distributed_utils.all_reduce",
        lambda buffer, group: buffer.copy_(torch.tensor(norms)),
    )
    with pytest.raises(error, match=message):
        run.train_step([batch()])


def test_other_errors_are_not_touched(run):
    with pytest.raises(KeyError, match="target"):
        run.train_step([{key: value for key, value in batch().items() if key != "target"}])
