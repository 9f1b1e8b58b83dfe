"""`--amp` through fairseq's own trainer, on a CPU."""

import pytest
import torch
from fairseq.logging import metrics
from tiny import batch, trainer


def steps(folder, *flags, autocast=False, updates=1):
    """(trainer, how far each parameter moves) in so many updates."""
    metrics.reset()
    run = trainer("--student-layers", "2x1", *flags, save_dir=folder)
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for _ in range(updates):
            run.train_step([batch()])
    moved = zip(run.model.parameters(), before, strict=True)
    return run, [(after - start).detach() for after, start in moved]


@pytest.mark.parametrize("clip_norm", [0, 0.5])
@pytest.mark.parametrize("autocast, tolerance", [(False, 1e-5), (True, 0.03)])
def test_a_step_is_as_long_as_in_fp32(tmp_path, clip_norm, autocast, tolerance):
    _, expected = steps(tmp_path, "--clip-norm", clip_norm)
    _, found = steps(tmp_path, "--clip-norm", clip_norm, "--amp", autocast=autocast)
    lengths = [torch.cat([step.flatten() for step in each]).norm() for each in (expected, found)]
    assert lengths[0] > 0.01
    torch.testing.assert_close(lengths[1], lengths[0], rtol=tolerance, atol=0)
    for step, wanted in zip(found, expected, strict=True):
        bound = tolerance * lengths[0].item()
        torch.testing.assert_close(step, wanted, rtol=0, atol=bound)


def test_its_options_set_the_loss_scale(tmp_path):
    flags = ("--amp", "--amp-init-scale", 1024, "--amp-scale-window", 2)
    run, _ = steps(tmp_path, *flags)
    assert run.optimizer.scaler.get_scale() == 1024
    run, _ = steps(tmp_path, *flags, updates=2)
    assert run.optimizer.scaler.get_scale() == 2048


def test_an_overflow_halves_the_loss_scale_and_moves_nothing(tmp_path):
    flags = ("--amp", "--amp-init-scale", 2**126, "--amp-batch-retries", 0)
    run, moved = steps(tmp_path, *flags)
    assert run.optimizer.scaler.get_scale() == 2**125
    assert not any(step.any() for step in moved)
