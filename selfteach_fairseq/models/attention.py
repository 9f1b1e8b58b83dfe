"""Self-attention of short sequences on a CPU, for training.

Shapes: B batch, T queries, S keys, C features, H heads, D = C / H.
"""

import torch
from fairseq.modules import MultiheadAttention
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_MOST_KEYS = 128  # of more, the weights take much memory, and torch's own kernel is as fast


class ShortAttention(MultiheadAttention):
    """fairseq's self-attention; of short sequences on a CPU, in training, by products of its own.

    torch's fused kernel, which fairseq takes, is up to several times as slow there. All that is
    asked for besides, and dropout of the weights, is left to fairseq.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        key_padding_mask: Tensor | None = None,
        incremental_state: dict | None = None,
        need_weights: bool = True,
        static_kv: bool = False,
        attn_mask: Tensor | None = None,
        before_softmax: bool = False,
        need_head_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        asks_more = need_weights or need_head_weights or before_softmax
        asks_more = asks_more or incremental_state is not None
        is_ours = self.training and query.device.type == "cpu" and query.dtype == torch.float32
        drops_none = self.dropout_module.p == 0
        if (
            (key is None or len(key) > _MOST_KEYS or asks_more)
            or not (is_ours and drops_none)
            or _attends_to_nothing(attn_mask, key_padding_mask)
        ):
            return super().forward(
                query,
                key,
                value,
                key_padding_mask=key_padding_mask,
                incremental_state=incremental_state,
                need_weights=need_weights,
                static_kv=static_kv,
                attn_mask=attn_mask,
                before_softmax=before_softmax,
                need_head_weights=need_head_weights,
            )
        mask = _added(attn_mask, key_padding_mask, self.num_heads)
        projected = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        return self.out_proj(_Attention.apply(*projected, mask, self.num_heads)), None


def _attends_to_nothing(attn_mask, key_padding_mask):
    """Whether a query may have no key at all: torch says zeros of it, and a softmax NaN."""
    if key_padding_mask is None:
        return False
    if attn_mask is None:
        return bool(key_padding_mask.all(dim=1).any())
    return bool(key_padding_mask[:, 0].any())  # all that a causal mask leaves to the first query


def _added(attn_mask, key_padding_mask, heads):
    """What is added to the scores (B * H, T, S): -inf where nothing is to be attended to."""
    if key_padding_mask is None:
        return attn_mask
    padding = torch.zeros(key_padding_mask.shape).masked_fill_(key_padding_mask, float("-inf"))
    padding = padding.repeat_interleave(heads, dim=0).unsqueeze(1)  # (B * H, 1, S)
    return padding if attn_mask is None else padding + attn_mask


class _Attention(torch.autograd.Function):
    """softmax(q k' / sqrt(D) + mask) v, of q (T, B, C), k and v (S, B, C)."""

    @staticmethod
    def forward(ctx, q, k, v, mask, heads):
        batch, width = q.shape[1:]
        ctx.heads, ctx.scale = heads, (width // heads) ** -0.5
        of_q, of_k, of_v = (_heads(x, heads) for x in (q, k, v))
        if mask is None:
            scores = torch.bmm(of_q, of_k.mT).mul_(ctx.scale)
        else:
            scores = torch.baddbmm(mask, of_q, of_k.mT, alpha=ctx.scale)
        weights = scores.softmax(dim=2)
        ctx.save_for_backward(q, k, v, weights)
        return _joined(torch.bmm(weights, of_v), batch)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        *inputs, weights = ctx.saved_tensors
        batch = gradient.size(1)
        of_q, of_k, of_v, of_output = (_heads(x, ctx.heads) for x in (*inputs, gradient))
        by_weights = torch.bmm(of_output, of_v.mT)
        # Of a softmax: each score's part less the mean, by its weight.
        mean = torch.linalg.vecdot(by_weights, weights).unsqueeze(2)
        by_scores = by_weights.sub_(mean).mul_(weights).mul_(ctx.scale)
        by_q = torch.bmm(by_scores, of_k)
        by_k = torch.bmm(by_scores.mT, of_q)
        by_v = torch.bmm(weights.mT, of_output)
        return *(_joined(x, batch) for x in (by_q, by_k, by_v)), None, None


def _heads(x, heads):
    """(T, B, C) as (B * H, T, D), without a copy."""
    length, batch, width = x.shape
    return x.reshape(length, batch * heads, width // heads).transpose(0, 1)


def _joined(x, batch):
    """(B * H, T, D) as (T, B, C), contiguous: products write heads one after the other faster."""
    return x.transpose(0, 1).reshape(x.size(1), batch, -1)


def replace_attention(model: nn.Module) -> None:
    """Makes a model's self-attentions ShortAttentions, with their parameters.

    Not those with quantisation noise, which fairseq's own paths apply, nor xformers' kernels. To
    other attentions fairseq applies products already, which are as fast.
    """
    for module in model.modules():
        if type(module) is MultiheadAttention and module.self_attention and _is_exact(module):
            module.__class__ = ShortAttention


def _is_exact(attention):
    """Whether neither a kernel of xformers nor noise, which fairseq adds in hooks, is asked for."""
    return not attention.use_xformers and not attention.q_proj._forward_pre_hooks
