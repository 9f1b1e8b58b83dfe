"""Dropout on a CPU at a fraction of its price: the mask is drawn four numbers at a time."""

import torch
import torch.distributed as dist
from fairseq.modules import FairseqDropout, MultiheadAttention
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_STEPS = 2**16  # p is rounded to one of so many


class WordDropout(FairseqDropout):
    """fairseq's dropout; on a CPU each random 64-bit word decides about four elements.

    torch draws a number of 24 random bits for each element, one after the other, which takes longer
    than all else that dropout does. Here 16 bits decide about an element: p is rounded to one of
    65,536 steps, and the scale is that step's, so that the mean is exact. The words are of torch's
    generator, so that a resumed run draws them again. A p more than 1 % from its step is torch's.
    """

    def forward(self, x: Tensor, inplace: bool = False) -> Tensor:
        dropped = round(self.p * _STEPS)  # of the steps
        is_near = 0 < dropped < _STEPS and abs(dropped - self.p * _STEPS) <= dropped / 100
        drops = self.training or self.apply_during_inference
        if not (drops and x.device.type == "cpu" and is_near):
            return super().forward(x, inplace)
        return _Dropout.apply(x, dropped)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dropped):
        numbers = _numbers(x.numel()).view(x.shape)
        ctx.dropped = dropped
        ctx.save_for_backward(numbers)  # half the size of a mask in fp32
        return _masked(x, numbers, dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (numbers,) = ctx.saved_tensors
        return _masked(gradient, numbers, ctx.dropped), None


def _numbers(count):
    """So many random numbers of 16 bits, each worker's its own."""
    words = torch.empty((count + 3) // 4, dtype=torch.int64)
    generator = None
    if rank := dist.get_rank() if dist.is_initialized() else 0:
        # fairseq gives all workers one seed. Of it torch's generator reads 32 bits.
        seed = int(torch.randint(2**32, ())) + rank
        generator = torch.Generator().manual_seed(seed % 2**32)
    return words.random_(-(2**63), None, generator=generator).view(torch.int16)[:count]


def _masked(x, numbers, dropped):
    # Zeros and ones as x's own type: products with booleans are several times as slow.
    kept = torch.ge(numbers, dropped - _STEPS // 2, out=torch.empty_like(x))
    return kept.mul_(x).mul_(_STEPS / (_STEPS - dropped))


def replace_dropout(model: nn.Module) -> None:
    """Makes a model's dropouts WordDropouts, but those of attention weights, which are fused."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is FairseqDropout and not isinstance(parent, MultiheadAttention):
                new = WordDropout(child.p, child.module_name)
                new.train(child.training)
                setattr(parent, name, new)
