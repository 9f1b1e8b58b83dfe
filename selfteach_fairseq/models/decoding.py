"""The decoder's pass for a model and its students at once.

Shapes: B batch, T target length, S source length, C features.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from fairseq.models.transformer import TransformerDecoderBase, TransformerModelBase
from torch import Tensor, nn

from ..layers import Layers

Numbers = tuple[int, ...]  # of layers of one side, from 0


class Path(NamedTuple):
    """The layers that a sub-model goes through: the encoder's, then the decoder's."""

    encoder: Numbers
    decoder: Numbers
    masks: int = 0  # of dropout: only those of the same number have them in common

    @classmethod
    def of(cls, layers: Layers, depth: Layers, masks: int = 0) -> "Path":
        """That of a sub-model. Raises: ValueError if a model of this depth has no such one."""
        numbers = layers.within(depth)
        return cls(numbers["encoder"], numbers["decoder"], masks)

    @property
    def as_encoder(self) -> "Path":
        """The same, as far as the end of the encoder."""
        return self._replace(decoder=())


def decode(
    model: TransformerModelBase,
    prev_output_tokens: Tensor,
    is_source_padding: Tensor | None,
    memories: dict[Path, Tensor],
    paths: Sequence[Path],
) -> tuple[dict[Path, Tensor], list[Tensor]]:
    """What the decoders of sub-models say, by one pass of the model's own.

    A decoder layer does the same to all of them, but for the memory that it attends to. So one
    pass serves all: stacked along the batch is a block for each of those that differ so far.

    Args:
        prev_output_tokens: (B, T)
        is_source_padding: (B, S)
        memories: what the encoder says by these paths, as far as its end, (S, B, C) each
        paths: of each sub-model; the first is of all layers

    Returns: the features (B, T, C) of each, and the inner states of the first, (T, B, C) each
    """
    decoder = model.decoder
    embedded = embed(decoder, prev_output_tokens)
    causal_mask = decoder.buffered_future_mask(embedded)
    is_padding = prev_output_tokens.eq(decoder.padding_idx)
    masks_padding = decoder.cross_self_attention or bool(is_padding.any())
    attended: tuple[list[Path], Tensor] = [], embedded  # of the blocks' encoders, their memories

    def through(layer: nn.Module, x: Tensor, encoders: list[Path]) -> Tensor:
        nonlocal attended
        if attended[0] != encoders:
            attended = encoders, _beside([memories[encoder] for encoder in encoders])
        x, *_ = layer(
            x,
            attended[1],
            _stack(is_source_padding, len(encoders)),
            self_attn_mask=causal_mask,
            self_attn_padding_mask=_stack(is_padding, len(encoders)) if masks_padding else None,
        )
        return x

    ends, inner_states = _along(paths, embedded, decoder.layers, through)
    return {path: _features(decoder, x) for path, x in ends.items()}, inner_states


def _along(
    paths: Sequence[Path],
    embedded: Tensor,
    layers: nn.ModuleList,
    through: Callable[[nn.Module, Tensor, list[Path]], Tensor],
) -> tuple[dict[Path, Tensor], list[Tensor]]:
    """The states (T, B, C) at the end of all paths, and the first path's on the way.

    Paths are one block for as long as they have gone through the same layers, under the same masks.
    """
    paths = [*dict.fromkeys(paths)]
    so_far = {path: path.as_encoder for path in paths}
    states = dict.fromkeys(so_far.values(), embedded)
    inner_states = [embedded]
    x, blocks = embedded, list[Path]()
    for number, layer in enumerate(layers):
        goes_to: dict[Path, int] = {}  # of the blocks that this layer is for, their last one
        for path in paths:
            if number in path.decoder:
                block = so_far[path]
                so_far[path] = block._replace(decoder=(*block.decoder, number))
                goes_to[block] = max(path.decoder[-1], goes_to.get(block, 0))
        # Those that end first come last, so that the others stand beside each other already.
        wanted = sorted(goes_to, key=goes_to.__getitem__, reverse=True)
        if wanted != blocks[: len(wanted)]:
            x = _beside([states[block] for block in wanted])
        elif len(wanted) < len(blocks):
            x = x[:, : len(wanted) * embedded.size(1)].contiguous()
        x = through(layer, x, [block.as_encoder for block in wanted])
        blocks = [block._replace(decoder=(*block.decoder, number)) for block in wanted]
        states |= zip(blocks, x.split(embedded.size(1), dim=1), strict=True)
        states = {block: states[block] for block in so_far.values()}
        inner_states.append(states[so_far[paths[0]]])
    return states, inner_states


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
