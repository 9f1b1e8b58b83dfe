"""R3F: the divergence between a source and the same source with noise on its embeddings."""

import pytest
import torch
from agreement import assert_learns_as_fairseqs, assert_validates_as_fairseqs
from reference import reference_r3f
from tiny import PAD, batch, build, distance, settings, step, task, trainer

R3F = {"criterion": "r3f_translation"}
NOISY = ("--r3f-eps", 0.5)  # so that there is something between the passes
# One embedding for all: noise on it would reach the decoder and the projection as well.
SHARED = ("--share-all-embeddings",)


def in_two_passes(model, sample, noise):
    """Logits (B * T, V) without and with noise, of fairseq's own encoder and decoder."""
    tokens, lengths, previous = sample["net_input"].values()
    embedded = model.encoder.embed_tokens(tokens)
    memories = (
        model.encoder(tokens, lengths),
        model.encoder(tokens, lengths, token_embeddings=embedded + noise),
    )
    return [model.decoder(previous, memory)[0].flatten(0, 1).double() for memory in memories]


def drawn(noise, sample, eps):
    shape = (*sample["net_input"]["src_tokens"].shape, 16)
    return eps * (torch.randn(shape) if noise == "normal" else 2 * torch.rand(shape) - 1)


@pytest.mark.parametrize("noise", ["normal", "uniform"])
@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("flags", [(), SHARED], ids=["apart", "shared"])
def test_it_is_the_formula(noise, weight, flags):
    flags = (*flags, *NOISY, "--r3f-lambda", weight, "--r3f-noise", noise)
    model, criterion = build(*flags, **R3F)
    sample = batch()
    torch.manual_seed(3)
    loss, logged, found = step(model, criterion, sample)

    model.zero_grad()
    torch.manual_seed(3)
    passes = in_two_passes(model, sample, drawn(noise, sample, 0.5))
    target = sample["target"].flatten()
    assert target.eq(PAD).any()
    expected, divergence = reference_r3f(
        *passes, target, pad=PAD, label_smoothing=0.1, weight=weight
    )
    expected.backward()
    assert divergence > 0.1
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    assert logged["kl"].item() == pytest.approx(divergence, rel=1e-4)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_more_padding_changes_nothing():
    """Neither of the source nor of the target. The noise on real tokens is the same."""
    model, criterion = build(*NOISY, **R3F, seed=2)
    sample = batch(sentences=1)
    torch.manual_seed(3)
    loss, _, found = step(model, criterion, sample)
    padding = torch.full((1, 2), PAD)
    inputs = sample["net_input"]
    # Behind, for the positions: fairseq pads sources in front.
    longer = {name: torch.cat([inputs[name], padding], 1) for name in inputs if "tokens" in name}
    target = torch.cat([sample["target"], padding], 1)
    padded = {**sample, "net_input": {**inputs, **longer}, "target": target}
    torch.manual_seed(3)
    padded_loss, _, padded_found = step(model, criterion, padded)
    torch.testing.assert_close(padded_loss, loss, rtol=1e-6, atol=0)
    assert distance(found, padded_found) < 1e-5


def test_without_a_weight_it_is_fairseqs_criterion():
    flags = ("--report-accuracy", "--ignore-prefix-size", 2, "--sentence-avg")
    assert_learns_as_fairseqs((*NOISY, "--r3f-lambda", 0), flags, **R3F)


def test_validation_is_one_clean_pass_of_fairseqs_criterion():
    assert_validates_as_fairseqs(NOISY, **R3F)


@pytest.mark.parametrize(
    "flags", [("--r3f-lambda", 3), ("--r3f-eps", 0.2), ("--r3f-noise", "uniform")]
)
def test_every_option_changes_the_gradients(flags):
    steps = []
    for more in ((), flags):
        model, criterion = build(*NOISY, *more, **R3F)
        torch.manual_seed(3)
        steps.append(step(model, criterion, batch())[2])
    assert distance(*steps) > 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_models_of_half_precision(dtype):
    """The loss and the divergence are sums of single precision, whatever the model's numbers."""
    losses = []
    for numbers in (torch.float32, dtype):
        model, criterion = build(*NOISY, **R3F)
        torch.manual_seed(3)
        loss, logged, found = step(model.to(numbers), criterion, batch())
        assert loss.dtype == logged["kl"].dtype == torch.float32
        assert all(gradient.isfinite().all() for gradient in found.values())
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=0.05)  # of other random numbers


def test_fairseqs_trainer_takes_it(tmp_path):
    training = trainer(*NOISY, save_dir=tmp_path, **R3F)
    training.begin_epoch(1)
    logged = training.train_step([batch(seed=1), batch(seed=2)])
    assert logged["kl"] > 0 and training.get_num_updates() == 1


REFUSED = [
    (("--r3f-lambda", -1), "--r3f-lambda -1.0: must not be negative"),
    (("--r3f-eps", 0), "--r3f-eps 0.0: must be above 0"),
    (("--ddp-backend", "fully_sharded"), "--ddp-backend fully_sharded splits the embeddings"),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED)
def test_what_cannot_work_is_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        task().build_criterion(settings(*flags, **R3F).criterion)


def test_a_stock_architecture_is_refused_with_the_way_out():
    message = "--arch transformer_tiny takes no embeddings: .* needs --arch transformer_selfteach"
    with pytest.raises(ValueError, match=message):
        task().build_criterion(settings(arch="transformer_tiny", **R3F).criterion)
