"""Attention of short sequences: fairseq's own is the slow reference."""

import copy

import pytest
import torch
from fairseq.modules import MultiheadAttention
from tiny import batch, build, distance, step

from selfteach_fairseq.models.attention import ShortAttention, replace_attention

B, T, S, C, H = 3, 5, 7, 12, 2
KINDS = {"self": {"self_attention": True}, "cross": {"encoder_decoder_attention": True}}
OURS = {"self": ShortAttention, "cross": MultiheadAttention}
PLAIN = {"criterion": "label_smoothed_cross_entropy"}


def attentions(kind, **settings):
    """fairseq's module in training, and a copy of it that is ours."""
    torch.manual_seed(1)
    stock = MultiheadAttention(C, H, **KINDS[kind], **settings).train()
    for bias in (stock.q_proj.bias, stock.k_proj.bias, stock.v_proj.bias):
        torch.nn.init.normal_(bias)
    ours = copy.deepcopy(stock)
    replace_attention(ours)
    assert type(ours) is OURS[kind]
    return stock, ours


def passed(module, kind, length=T, keys=S, **asked):
    """Outputs and gradients by name, of random inputs."""
    torch.manual_seed(2)
    query = torch.randn(length, B, C, requires_grad=True)
    key = query if kind == "self" else torch.randn(keys, B, C, requires_grad=True)
    module.zero_grad()
    output, weights = module(
        query, key, key, static_kv=kind == "cross", need_weights=False, **asked
    )
    output.backward(torch.randn(output.shape))
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    return {"output": output.detach(), "query": query.grad, "key": key.grad, **gradients}, weights


def padding(length):
    """One sentence whole, one that is padded on the left, one on the right."""
    mask = torch.zeros(B, length, dtype=torch.bool)
    mask[1, :2] = mask[2, -3:] = True
    return mask


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_values_and_gradients_are_fairseqs(causal, padded):
    asked = {}
    if padded:  # on the right only, if a query may attend to nothing behind it
        asked["key_padding_mask"] = padding(T)
        if causal:
            asked["key_padding_mask"][1] = False
    if causal:
        asked["attn_mask"] = torch.full((T, T), float("-inf")).triu(1)
    stock, ours = attentions("self")
    expected, _ = passed(stock, "self", **asked)
    found, weights = passed(ours, "self", **asked)
    assert weights is None and not torch.equal(found["output"], expected["output"])
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings, asked",
    [
        ({"dropout": 0.3}, {}),
        ({}, {"length": 129, "keys": 129}),
        ({}, {"need_head_weights": True}),
    ],
    ids=["dropout of weights", "long", "weights asked for"],
)
def test_what_is_not_ours_is_fairseqs_bit_for_bit(kind, settings, asked):
    stock, ours = attentions(kind, **settings)
    (expected, of_stock), (found, weights) = (passed(m, kind, **asked) for m in (stock, ours))
    torch.testing.assert_close((found, weights), (expected, of_stock), rtol=0, atol=0)


def test_a_step_that_keeps_its_keys_is_fairseqs():
    """The state of a search is an empty dictionary at first."""
    stock, ours = attentions("self")
    states = {}, {}
    expected, _ = passed(stock, "self", incremental_state=states[0])
    found, _ = passed(ours, "self", incremental_state=states[1])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert states[0] and states[0].keys() == states[1].keys()


@pytest.mark.parametrize("causal", [False, True])
def test_a_sentence_of_padding_alone_is_fairseqs_bit_for_bit(causal):
    mask = padding(T)
    mask[1, : 1 if causal else T] = True
    asked = {"key_padding_mask": mask}
    if causal:
        asked["attn_mask"] = torch.full((T, T), float("-inf")).triu(1)
    expected, found = (passed(module, "self", **asked)[0] for module in attentions("self"))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert found["output"].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_is_fairseqs_bit_for_bit(kind):
    stock, ours = (module.eval() for module in attentions(kind))
    expected, found = passed(stock, kind), passed(ours, kind)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


FLAGS = {
    "default": (),
    "pre-norm": ("--encoder-normalize-before", "--decoder-normalize-before"),
    "cross-self": ("--cross-self-attention", "--no-cross-attention"),
    "other widths": ("--encoder-embed-dim", 12, "--decoder-embed-dim", 16),
    "checkpointed": ("--checkpoint-activations",),
}


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_an_update_is_stock_fairseqs_up_to_rounding(flags):
    expected, found = (
        step(*build("--student-layers", "2x1,4x2", *flags, *more), batch())
        for more in (("--stock-update",), ())
    )
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=0)
    assert 0 < distance(found[2], expected[2]) < 1e-5


def kinds(*flags):
    model, _ = build(*flags, **PLAIN)
    return {type(m) for m in model.modules() if isinstance(m, MultiheadAttention)}


def test_models_have_it_unless_their_weights_are_noisy():
    assert kinds() == {ShortAttention, MultiheadAttention}  # for self- and cross-attention
    assert kinds("--stock-update") == {MultiheadAttention}
    assert kinds("--quant-noise-pq", 0.1, "--quant-noise-pq-block-size", 4) == {MultiheadAttention}
