"""Layer importance: against its definition, against really setting numbers to zero."""

import copy
from statistics import mean

import pytest
import torch
from reference import reference_products
from tiny import PAD, batch, build, checkpoint_of, load_stock
from torch import nn

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.importance import pictures as importance_pictures
from selfteach_fairseq.importance.importance import (
    ALL,
    groups,
    layer_importance,
    loss_without,
    numbers,
    part_importance,
)
from selfteach_fairseq.importance.run import Row, correlations, write_tsv
from selfteach_fairseq.layers import Layers

PRE = ("--encoder-normalize-before", "--decoder-normalize-before")
STYLES = pytest.mark.parametrize("style", [(), PRE], ids=["post-norm", "pre-norm"])
# Relative: in a double-precision model fairseq has the softmax of cross-attention in single.
ROUNDING = 1e-7
# By hand, against the names that importance.py goes by.
MODULES = {
    "self-attention": ("self_attn", "self_attn_layer_norm"),
    "cross-attention": ("encoder_attn", "encoder_attn_layer_norm"),
    "feed-forward": ("fc1", "fc2", "final_layer_norm"),
}


def tiny(*flags):
    """In eval mode and double precision; every parameter has something in it, biases too."""
    model = build(*flags)[0].double().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.double)
            parameter += 0.1 * noise
    return model


def sentences(sample):
    """The rows of a batch without their padding."""
    sides = (sample["net_input"]["src_tokens"], sample["target"])
    return [tuple(row[row.ne(PAD)].tolist() for row in pair) for pair in zip(*sides, strict=True)]


@STYLES
def test_it_is_the_definition(style):
    """A sentence, a token, a number at a time; the batch has padding, and dropout is off."""
    model, sample = tiny(*style, "--dropout", 0.3), batch()
    expected = {}
    for name, products in reference_products(model, sentences(sample)).items():
        side, _, layer, module, *_ = name.split(".")
        (part,) = (part for part, modules in MODULES.items() if module in modules)
        for key in ((side, int(layer) + 1, ALL), (side, int(layer) + 1, part)):
            expected.setdefault(key, []).extend(products)
    expected = {key: mean(products) for key, products in expected.items()}
    found, loss = part_importance(model, [sample])
    assert len(found) == 4 * 3 + 3 * 4 and found == pytest.approx(expected, rel=ROUNDING, abs=0)
    layers = {key[:2]: value for key, value in expected.items() if key[2] == ALL}
    assert layer_importance(model, [sample]) == pytest.approx(layers, rel=ROUNDING, abs=0)
    assert 2 < loss < 10  # nats; log(37) is 3.6
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("side, layer", [("encoder", 1), ("decoder", 2)])
def test_it_foretells_the_loss_without_a_number(side, layer):
    """Each number of a layer is set to zero alone, and the loss computed anew (equation 1).

    The layer's numbers are small, so that the first order tells nearly all.
    """
    small = ("--encoder-embed-dim", 4, "--encoder-ffn-embed-dim", 6, "--activation-fn", "tanh")
    model = tiny(*PRE, *small, "--encoder-layers", 2, "--decoder-layers", 2)
    sample = batch(sentences=3)
    stack = getattr(model, side).layers
    with torch.no_grad():
        for parameter in stack[layer - 1].parameters():
            parameter.copy_(1e-3 * torch.randn(parameter.shape, dtype=torch.double))
    found, loss = part_importance(model, [sample])
    parts = {key: named for key, named in groups(model).items() if key[:2] == (side, layer)}
    changes = {
        parameter: [abs(without - loss) for without in losses_without(model, sample, parameter)]
        for parameter in parts[side, layer, ALL].values()
    }
    for key, named in parts.items():
        of_part = [change for parameter in named.values() for change in changes[parameter]]
        assert len(of_part) == numbers(named)
        assert found[key] == pytest.approx(mean(of_part), rel=0.01, abs=0), key


@torch.no_grad()
def losses_without(model, sample, parameter):
    losses, flat = [], parameter.view(-1)
    for place, number in enumerate(flat.tolist()):
        flat[place] = 0
        losses.append(mean_loss(model, sample))
        flat[place] = number
    return losses


@torch.no_grad()
def mean_loss(model, sample):
    logits, target = model(**sample["net_input"])[0], sample["target"]
    chosen = logits.log_softmax(2).gather(2, target[:, :, None])[:, :, 0]
    return -chosen[target.ne(PAD)].mean().item()


def test_a_parameter_without_gradient_counts_zero():
    """One that nothing uses, and those of a dead feed-forward layer: they are in the mean."""
    model, sample = tiny(), batch()
    before = part_importance(model, [sample])[0]
    layer = model.encoder.layers[1]
    size = numbers(dict(layer.named_parameters()))
    layer.fc_idle = nn.Parameter(torch.ones(size, dtype=torch.double))
    after = part_importance(model, [sample])[0]
    key = ("encoder", 2, ALL)
    assert after[key] == pytest.approx(before[key] / 2, rel=1e-9)
    assert after["encoder", 1, ALL] == pytest.approx(before["encoder", 1, ALL], rel=1e-9)
    del layer.fc_idle

    with torch.no_grad():
        layer.fc1.bias.fill_(-1e6)  # its ReLUs are never on
    products = reference_products(model, sentences(sample))
    of_layer = {n: p for n, p in products.items() if n.startswith("encoder.layers.1.")}
    dead = [f"encoder.layers.1.{name}" for name in ("fc1.weight", "fc1.bias", "fc2.weight")]
    assert not any(number for name in dead for number in of_layer[name])
    alive = sum(sum(of_layer[name]) for name in of_layer if name not in dead)
    found = part_importance(model, [sample])[0][key]
    assert found == pytest.approx(alive / size, rel=ROUNDING) and found > 0


def test_numbers_that_are_zero_have_no_importance():
    model = tiny(*PRE)
    with torch.no_grad():
        for parameter in model.decoder.layers[0].parameters():
            parameter.zero_()
    found = layer_importance(model, [batch()])
    assert [key for key, value in found.items() if value == 0] == [("decoder", 1)]


@STYLES
def test_how_sentences_are_spread_over_batches_changes_nothing(style):
    model, sample = tiny(*style), batch(sentences=6)
    expected = part_importance(model, [sample])
    for sizes in ((1, 5), (2, 2, 2), (1,) * 6):
        found = part_importance(model, split(sample, sizes))
        assert found[0] == pytest.approx(expected[0], rel=ROUNDING, abs=0)
        assert found[1] == pytest.approx(expected[1], rel=1e-9)


def split(sample, sizes):
    """The rows of a batch in several, without the padding that these do not need."""
    target, inputs = sample["target"], sample["net_input"]
    previous = inputs["prev_output_tokens"]
    columns = (inputs["src_tokens"], inputs["src_lengths"], previous, target)
    for source, lengths, before, after in zip(*(c.split(sizes) for c in columns), strict=True):
        there = after.ne(PAD).sum(1).max()
        yield {
            "net_input": {
                "src_tokens": source[:, -lengths.max() :],
                "src_lengths": lengths,
                "prev_output_tokens": before[:, :there],
            },
            "target": after[:, :there],
        }


def test_an_adaptive_softmax():
    flags = ("--adaptive-softmax-cutoff", "10,20")
    plain = {"arch": "transformer", "criterion": "label_smoothed_cross_entropy"}
    model, sample = build(*flags, **plain)[0].double().eval(), batch(sentences=9)
    target = sample["target"]
    with torch.no_grad():
        features = model(**sample["net_input"])[0]
        logs = model.decoder.adaptive_softmax.get_log_prob(features, None)
    chosen = logs.gather(2, target[:, :, None])[:, :, 0]
    found, loss = part_importance(model, [sample])
    assert loss == pytest.approx(-chosen[target.ne(PAD)].mean().item(), rel=1e-6)
    assert all(value > 0 for value in found.values())


@pytest.mark.parametrize("key", [("encoder", 2, ALL), ("decoder", 3, ALL)])
def test_a_pre_norm_model_without_a_layer_is_the_one_cut_out(key):
    model, sample = tiny(*PRE), batch()
    state, (side, number, _) = checkpoint_of(model, *PRE), key
    keep = {"encoder": [0, 1, 2, 3], "decoder": [0, 1, 2]}
    keep[side].remove(number - 1)
    kept = Checkpoint.of(state).cut(Layers.of(**keep))
    cut = load_stock(kept).double()
    cut.load_state_dict(kept.weights)  # load_stock() has it in single precision
    before = copy.deepcopy(model.state_dict())
    found = loss_without(model, [sample], key)
    assert found == pytest.approx(mean_loss(cut, sample), rel=1e-9)
    assert abs(found - mean_loss(model, sample)) > 1e-4
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_a_post_norm_layer_of_zeros_only_normalises():
    class Norms(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.norms = nn.Sequential(layer.self_attn_layer_norm, layer.final_layer_norm)

        def forward(self, x, **_):
            return self.norms(x)

    model, sample = tiny(), batch()
    found = loss_without(model, [sample], ("encoder", 2, ALL))
    model.encoder.layers[1] = Norms(model.encoder.layers[1])
    assert found == pytest.approx(mean_loss(model, sample), rel=1e-9)


def test_without_any_cross_attention_the_source_does_not_matter():
    model, sample = tiny(*PRE, "--decoder-layers", 1), batch()
    other = {**sample, "net_input": {**sample["net_input"]}}
    other["net_input"]["src_tokens"] = sample["net_input"]["src_tokens"].flip(0)
    other["net_input"]["src_lengths"] = sample["net_input"]["src_lengths"].flip(0)
    assert mean_loss(model, sample) != pytest.approx(mean_loss(model, other), rel=1e-6)
    losses = [loss_without(model, [s], ("decoder", 1, "cross-attention")) for s in (sample, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_the_model_is_whole_again_after_an_error():
    model = tiny()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(KeyError):
        loss_without(model, [{}], ("encoder", 2, ALL))
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def rows(importance, changes, side="encoder", updates=7, part=ALL):
    return [
        Row("c.pt", updates, side, i, part, 10, value, 1, change)
        for i, (value, change) in enumerate(zip(importance, changes, strict=True), start=1)
    ]


def test_correlations():
    straight = correlations(rows([1, 2, 3], [10, -20, 30]))
    assert [(line["side"], line["layers"]) for line in straight] == [("encoder", 3)]
    assert straight[0]["pearson"] == pytest.approx(1) == straight[0]["spearman"]
    bent = correlations(rows([1, 2, 3, 4], [-1, -10, -100, -1000]))[0]
    assert bent["spearman"] == pytest.approx(1) and 0.5 < bent["pearson"] < 0.95
    tied = correlations(rows([1, 2, 2, 3], [1, 3, 2, 4]))[0]  # 4.5 / sqrt(4.5 * 5)
    assert tied["spearman"] == pytest.approx(0.94868, abs=1e-5)
    for few in (rows([1, 2], [1, 2]), rows([1, 1, 1], [1, 2, 3]), rows([1, 2, 3], [5, 5, 5])):
        assert correlations(few)[0]["pearson"] is None is correlations(few)[0]["spearman"]
    both = correlations(rows([1, 2, 3], [1, 2, 3]) + rows([1, 2, 3], [3, 2, 1], "decoder"))
    assert [round(line["pearson"], 6) for line in both] == [0, 1, -1]
    assert correlations(rows([1, 2, 3], [None] * 3)) == []


def test_the_table_has_a_loss_change_only_where_one_was_measured(tmp_path):
    write_tsv(rows([0.5], [None]), tmp_path / "without.tsv")
    assert (tmp_path / "without.tsv").read_text() == (
        "checkpoint\tupdates\tside\tlayer\tpart\tparameters\timportance\trank\n"
        "c.pt\t7\tencoder\t1\tall\t10\t0.5\t1\n"
    )
    write_tsv(rows([0.5], [None]) + rows([0.25], [2.0], updates=8), tmp_path / "with.tsv")
    first, second = (tmp_path / "with.tsv").read_text().splitlines()[1:]
    assert first.endswith("\t0.5\t1\t") and second.endswith("\t0.25\t1\t2.0")


def run_of(*updates, deep=3, values=(0.1, 0.3, 0.2)):
    """The rows of checkpoints with so many updates, of an encoder so deep."""
    encoder = [*values, *[0.4] * (deep - 3)]
    found = []
    for number in updates:
        found += rows(encoder, [None] * deep, "encoder", number)
        found += rows(values, [None] * 3, "decoder", number)
    return found


def test_what_is_drawn(tmp_path):
    """Of one checkpoint nothing through training; layers of zero importance do no harm."""
    assert importance_pictures.draw(run_of(5), tmp_path) == ["sides"]
    parts = run_of(5) + [r._replace(part="feed-forward") for r in run_of(5)]
    assert importance_pictures.draw(parts, tmp_path) == ["sides", "sub-layers"]
    through = ["sides", "training", "ranks", "depth"]
    assert importance_pictures.draw(run_of(5, 10, 400, deep=12), tmp_path) == through
    for name in (*through, "sub-layers"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()
    assert importance_pictures.draw(run_of(5, 10, values=(0, 0.1, 0)), tmp_path) == through
