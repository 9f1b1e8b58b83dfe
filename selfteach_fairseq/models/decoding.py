"""The decoder's pass for a model and its students at once.

Shapes: B batch, T target length, S source length, C features.
"""

from collections.abc import Sequence

import torch
from fairseq.models.transformer import TransformerDecoderBase, TransformerModelBase
from torch import Tensor

from ..layers import Layers


def decode(
    model: TransformerModelBase,
    prev_output_tokens: Tensor,
    encoder_out: dict[str, list[Tensor]],
    layers: Sequence[Layers],
) -> tuple[dict[Layers, Tensor], list[Tensor]]:
    """What the decoders of sub-models say, by one pass of the model's own.

    A decoder layer does the same to all of them, but for the encoder depth whose memory it
    attends to. So one pass serves all: stacked along the batch is a block for every encoder
    depth, those that end first behind the others.

    Args:
        prev_output_tokens: (B, T)
        encoder_out: what the encoder returns, with all its states
        layers: of each sub-model, first layers; the first of them all layers

    Returns: the features (B, T, C) of each, and the inner states of the first, (T, B, C) each
    """
    decoder, batch = model.decoder, len(prev_output_tokens)
    ends: dict[int, int] = {}  # encoder depth: the last decoder layer needed above it
    for encoder_layers, decoder_layers in (part.counts for part in layers):
        ends[encoder_layers] = max(decoder_layers, ends.get(encoder_layers, 0))
    blocks = sorted(ends, key=ends.__getitem__, reverse=True)
    memories = [_memory(model.encoder, encoder_out, depth) for depth in blocks]

    embedded = embed(decoder, prev_output_tokens)
    inner_states = [embedded]
    x = _beside([embedded] * len(blocks))
    memory = _beside(memories)
    causal_mask = decoder.buffered_future_mask(x)
    is_padding = prev_output_tokens.eq(decoder.padding_idx)
    masks_padding = decoder.cross_self_attention or bool(is_padding.any())
    is_source_padding = next(iter(encoder_out["encoder_padding_mask"]), None)

    outputs = {}
    for number, layer in enumerate(decoder.layers, start=1):
        if ends[blocks[-1]] < number:
            blocks = [depth for depth in blocks if ends[depth] >= number]
            x = x[:, : len(blocks) * batch].contiguous()
            memory = _beside(memories[: len(blocks)])
        x, *_ = layer(
            x,
            memory,
            _stack(is_source_padding, len(blocks)),
            self_attn_mask=causal_mask,
            self_attn_padding_mask=_stack(is_padding, len(blocks)) if masks_padding else None,
        )
        of_depth = dict(zip(blocks, x.split(batch, dim=1), strict=True))
        inner_states.append(of_depth[blocks[0]])
        for part in layers:
            encoder_layers, decoder_layers = part.counts
            if decoder_layers == number:
                outputs[part] = _features(decoder, of_depth[encoder_layers])
    return outputs, inner_states


def embed(decoder: TransformerDecoderBase, prev_output_tokens: Tensor) -> Tensor:
    """What the first decoder layer takes, (T, B, C): fairseq has it within a whole pass."""
    x = decoder.embed_scale * decoder.embed_tokens(prev_output_tokens)
    if decoder.quant_noise is not None:
        x = decoder.quant_noise(x)
    if decoder.project_in_dim is not None:
        x = decoder.project_in_dim(x)
    if decoder.embed_positions is not None:
        x += decoder.embed_positions(prev_output_tokens)
    if decoder.layernorm_embedding is not None:
        x = decoder.layernorm_embedding(x)
    return decoder.dropout_module(x).transpose(0, 1)


def _memory(encoder, encoder_out, encoder_layers):
    """What the encoder's first layers alone would return, (S, B, C)."""
    if encoder_layers == len(encoder.layers):
        return encoder_out["encoder_out"][0]
    state = encoder_out["encoder_states"][encoder_layers]
    norm = encoder.layer_norm
    return state if norm is None else norm(state)


def _features(decoder, x):
    """Features (B, T, C) of a decoder that ends with a layer whose output is x (T, B, C)."""
    if decoder.layer_norm is not None:
        x = decoder.layer_norm(x)
    x = x.transpose(0, 1)
    return x if decoder.project_out_dim is None else decoder.project_out_dim(x)


def _stack(mask, times):
    return mask if mask is None or times == 1 else mask.repeat(times, 1)


def _beside(blocks):
    """Tensors (T, B, C) along the batch, contiguous: a layer's products would have to make them."""
    return blocks[0].contiguous() if len(blocks) == 1 else torch.cat(blocks, dim=1)
