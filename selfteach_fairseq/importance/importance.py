"""How much each layer matters: |theta * dL/dtheta|, averaged over its parameters.

That is the first-order estimate of how much the loss L changes when the parameter theta is set to
zero (Li and Odoom 2023, sections 2.1 and 2.2). L is the cross-entropy in nats per target token, of
a classifier per sentence, without label smoothing and without dropout. A key (side, layer, part)
names what is measured: "encoder" or "decoder", the layer's number from 1, and ALL or one of PARTS.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

Key = tuple[str, int, str]  # (side, layer from 1, part)
Batch = dict[str, Any]  # as fairseq makes it

SIDES = ("encoder", "decoder")
ALL = "all"
PARTS = {  # a sub-layer, with its layer norm: how the names of its parameters begin
    "self-attention": ("self_attn",),
    "cross-attention": ("encoder_attn",),
    "feed-forward": ("fc", "final_layer_norm"),
}


def layer_importance(model: nn.Module, batches: Iterable[Batch]) -> dict[tuple[str, int], float]:
    """The importance of every layer.

    Args:
        model: a fairseq Transformer in eval mode, in the precision to compute in; of an encoder
            batches name the classification head among their inputs
        batches: as fairseq makes them; how the sentences are spread over them changes nothing

    Returns: {(side, layer from 1): nats per target token}
    """
    importance, _ = part_importance(model, batches)
    return {(side, n): value for (side, n, part), value in importance.items() if part == ALL}


def part_importance(model: nn.Module, batches: Iterable[Batch]) -> tuple[dict[Key, float], float]:
    """As layer_importance(), of the layers and of their sub-layers.

    Returns: ({(side, layer from 1, part): nats per target token}, L)
    """
    parts = groups(model)
    sums = {p: torch.zeros_like(p) for named in parts.values() for p in named.values()}
    total, tokens = 0.0, 0
    for batch in batches:
        loss, count = _summed_loss(model, batch)
        gradients = torch.autograd.grad(loss, list(sums), allow_unused=True)
        for gradient, so_far in zip(gradients, sums.values(), strict=True):
            if gradient is not None:  # None: the loss does not depend on the parameter
                so_far += gradient
        total, tokens = total + loss.item(), tokens + count
    moved = {p: (p.detach() * g).abs().sum(dtype=torch.double).item() for p, g in sums.items()}
    importance = {
        key: sum(moved[p] for p in named.values()) / tokens / numbers(named)
        for key, named in parts.items()
    }
    return importance, total / tokens


@torch.no_grad()
def loss_without(model: nn.Module, batches: Iterable[Batch], key: Key) -> float:
    """L once a layer, or a sub-layer, is set to zero (equation 1), by its key.

    Layer norms keep their numbers, so that a layer hands on what it gets: in a post-norm model
    zeros there would erase all the layers before it, and in a pre-norm model they change nothing.

    Returns: nats per target token; the model is what it was
    """
    named = groups(model)[key].items()
    kept = {p: p.clone() for name, p in named if "layer_norm" not in name}
    try:
        for parameter in kept:
            parameter.zero_()
        losses, tokens = zip(*(_summed_loss(model, batch) for batch in batches), strict=True)
    finally:
        for parameter, values in kept.items():
            parameter.copy_(values)
    return sum(loss.item() for loss in losses) / sum(tokens)


def groups(model: nn.Module) -> dict[Key, dict[str, nn.Parameter]]:
    """The parameters of every layer and sub-layer, by name, by key (side, layer from 1, part)."""
    found: dict[Key, dict[str, nn.Parameter]] = {}
    for side, layers in _stacks(model):
        for number, layer in enumerate(layers, start=1):
            named = dict(layer.named_parameters())
            found[side, number, ALL] = named
            for part, starts in PARTS.items():
                of_part = {name: p for name, p in named.items() if name.startswith(starts)}
                if of_part:  # there are decoders without cross-attention
                    found[side, number, part] = of_part
    return found


def _stacks(model):
    """(side, its layers) of each side that the model has."""
    for side in SIDES:
        stack = getattr(model, side, None)
        if stack is not None:
            yield side, getattr(stack, "sentence_encoder", stack).layers


def numbers(named: dict[str, nn.Parameter]) -> int:
    """How many numbers there are in parameters by name."""
    return sum(parameter.numel() for parameter in named.values())


def _summed_loss(model, batch):
    """The cross-entropy in nats, summed over the target tokens or sentences, and how many."""
    device = next(model.parameters()).device
    inputs = batch["net_input"].items()
    given = {name: x.to(device) if torch.is_tensor(x) else x for name, x in inputs}
    output, _ = model(**given)
    target = batch["target"].to(device).flatten()
    if not hasattr(model, "decoder"):
        return cross_entropy(output, target, reduction="sum"), len(target)
    padding = model.decoder.padding_idx
    tokens = target.ne(padding).sum().item()
    adaptive = model.decoder.adaptive_softmax
    if adaptive is None:
        logits = output.flatten(0, 1)
        return cross_entropy(logits, target, ignore_index=padding, reduction="sum"), tokens
    (head, *tails), (in_head, *in_tails) = adaptive(output, target)
    loss = cross_entropy(head, in_head, ignore_index=padding, reduction="sum")
    for logits, in_tail in zip(tails, in_tails, strict=True):
        if logits is not None:  # padding is in the head alone
            loss = loss + cross_entropy(logits, in_tail, reduction="sum")
    return loss, tokens
