"""Dropout by words: its masks are random as torch's, and nobody else gets them."""

import copy
import math
import multiprocessing

import pytest
import torch
import torch.distributed as dist
from fairseq.modules import FairseqDropout, MultiheadAttention
from tiny import batch, build, step, trainer

from selfteach_fairseq.models.dropout import WordDropout

PLAIN = {"criterion": "label_smoothed_cross_entropy"}
SIZE = (250, 1024)


def masks(p, count, size=SIZE):
    """So many masks of a module in training, 1 for what is kept, as doubles."""
    module = WordDropout(p)
    return [module(torch.ones(size)).ne(0).double() for _ in range(count)]


@pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.5, 0.9])
def test_elements_are_dropped_at_the_rate_asked_for(p):
    torch.manual_seed(1)
    kept = torch.stack(masks(p, 4))
    deviation = math.sqrt(p * (1 - p) / kept.numel())
    assert kept.mean().item() == pytest.approx(1 - p, abs=5 * deviation)
    # Of independent elements, rows vary as binomial counts do: by 1 in their variance's estimate.
    rows = kept.sum(dim=2)
    expected = SIZE[1] * p * (1 - p)
    assert rows.var().item() == pytest.approx(expected, rel=5 * math.sqrt(2 / rows.numel()))


@pytest.mark.parametrize("p", [0.1, 0.3])
def test_what_is_kept_grows_so_that_the_mean_stays(p):
    torch.manual_seed(1)
    x = torch.randn(SIZE, requires_grad=True)
    y = WordDropout(p)(x)
    kept = y.ne(0)
    scale = 1 / (1 - round(p * 65536) / 65536)
    torch.testing.assert_close(y, x * kept * scale, rtol=1e-6, atol=0)
    y.backward(gradient := torch.randn(SIZE))
    torch.testing.assert_close(x.grad, gradient * kept * scale, rtol=1e-6, atol=0)


def test_elements_of_a_word_of_others_and_of_other_calls_are_independent():
    torch.manual_seed(1)
    one, other = (mask.flatten() - 0.7 for mask in masks(0.3, 2))
    count = one.numel()
    pairs = {f"{lag} apart": (one[:-lag], one[lag:]) for lag in (1, 2, 3, 4, 5, 8, 1024)}
    pairs |= {f"lanes {i}, {j}": (one[i::4], one[j::4]) for i in range(4) for j in range(i)}
    pairs |= {"of the next call": (one, other), "next call, next": (one[:-1], other[1:])}
    for name, (a, b) in pairs.items():
        correlation = (a * b).sum() / count / (0.3 * 0.7)
        assert abs(correlation) < 5 / math.sqrt(count), name
    # All 16 outcomes of a word are as often as independent elements have them: chi-square, 15.
    outcomes = (masks(0.3, 1)[0].view(-1, 4) @ torch.tensor([1.0, 2, 4, 8]).double()).long()
    chances = torch.tensor([0.7 ** i.bit_count() * 0.3 ** (4 - i.bit_count()) for i in range(16)])
    expected = chances.double() * len(outcomes)
    chi_square = ((torch.bincount(outcomes, minlength=16) - expected) ** 2 / expected).sum()
    assert chi_square < 45  # exceeded by one seed in 10,000


def _mask_of_a_worker(rank, folder):
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(1)  # as fairseq does on all of them
    torch.save(masks(0.3, 2), f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_workers_draw_masks_of_their_own(tmp_path):
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_mask_of_a_worker, args=(i, tmp_path)) for i in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    torch.manual_seed(1)
    torch.testing.assert_close(first, masks(0.3, 2))  # one worker draws what the first of two does
    for a in first:
        for b in second:
            correlation = ((a - 0.7) * (b - 0.7)).mean() / (0.3 * 0.7)
            assert abs(correlation) < 5 / math.sqrt(a.numel())


def test_a_seed_draws_the_same_again():
    torch.manual_seed(3)
    first = masks(0.3, 1, (3, 5, 7))  # of no whole number of words
    torch.manual_seed(3)
    torch.testing.assert_close(masks(0.3, 1, (3, 5, 7)), first)


@pytest.mark.parametrize("p", [0.0, 1e-6, 1e-5, 1.0])
def test_a_rate_far_from_its_step_is_torchs(p):
    x = torch.randn(SIZE)
    torch.manual_seed(1)
    found = WordDropout(p)(x)
    torch.manual_seed(1)
    torch.testing.assert_close(found, FairseqDropout(p)(x), rtol=0, atol=0)


def test_half_precision_stays_half():
    y = WordDropout(0.5)(torch.ones(SIZE, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16 and set(y.unique().tolist()) == {0, 2}


def test_translating_drops_only_if_asked_to():
    """fairseq-generate --retain-dropout, with and without --retain-dropout-modules."""
    x = torch.ones(SIZE)
    for asked, named, drops in (
        ({}, None, False),
        ({"retain_dropout": True}, None, True),
        ({"retain_dropout": True}, ["TransformerDecoder"], False),
        ({"retain_dropout": True}, ["TransformerEncoder"], True),
    ):
        module = WordDropout(0.3, "TransformerEncoder").eval()
        module.make_generation_fast_("encoder", retain_dropout_modules=named, **asked)
        assert bool(module(x).eq(0).any()) == drops


def dropouts(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, FairseqDropout)}


def test_our_architectures_have_it_and_stock_ones_do_not():
    ours, _ = build("--dropout", 0.3, "--activation-dropout", 0.1, **PLAIN)
    stock, _ = build("--dropout", 0.3, "--activation-dropout", 0.1, arch="transformer", **PLAIN)
    found, expected = dropouts(ours), dropouts(stock)
    assert found.keys() == expected.keys()
    for name, module in found.items():
        parent = ours.get_submodule(name.rpartition(".")[0])
        is_of_attention = isinstance(parent, MultiheadAttention)
        assert type(module) is (FairseqDropout if is_of_attention else WordDropout), name
        assert type(expected[name]) is FairseqDropout
        assert (module.p, module.module_name) == (expected[name].p, expected[name].module_name)
    assert ours.state_dict().keys() == stock.state_dict().keys()
    assert all(type(m) is FairseqDropout for m in dropouts(copy.deepcopy(stock)).values())


FLAGS = ("--dropout", 0.3, "--activation-dropout", 0.1)


def gradients_of(*flags, **choices):
    torch.manual_seed(5)
    model, criterion = build(*FLAGS, *flags, **choices)
    torch.manual_seed(6)
    return step(model, criterion, batch())[2]


def test_a_stock_update_is_stock_fairseqs_bit_for_bit():
    expected = gradients_of(arch="transformer", **PLAIN)
    found = gradients_of("--stock-update", **PLAIN)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    other = gradients_of(**PLAIN)
    assert any((other[name] - expected[name]).abs().max() > 1e-3 for name in other)


def test_layers_that_are_computed_again_have_the_same_masks():
    expected = gradients_of(**PLAIN)
    found = gradients_of("--checkpoint-activations", **PLAIN)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_copy_of_the_model_drops_by_words_too(tmp_path):
    """As fairseq makes one for --ema."""
    model = trainer(*FLAGS, save_dir=tmp_path, **PLAIN).model
    assert any(isinstance(m, WordDropout) for m in copy.deepcopy(model).modules())
