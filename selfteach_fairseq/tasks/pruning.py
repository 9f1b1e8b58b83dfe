"""Iterative magnitude pruning: a growing share of the layers' weights is set to zero in training.

Pruned are the smallest weights of all the layers' matrices together. The zeros themselves are the
mask: a weight that is zero stays zero, so a checkpoint holds all that a resumed training needs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from fairseq.optim import FairseqOptimizer, FP16Optimizer
from torch import Tensor, nn

from ..models.family import layer_matrices


class Schedule(NamedTuple):
    """How sparse the layers are after so many updates (Zhu and Gupta 2017, equation 1)."""

    sparsity: float  # at the end: the share of zeros
    start: int  # updates after which it rises from 0
    end: int
    interval: int  # updates from one pruning to the next

    def check(self) -> None:
        """Raises: ValueError that names the flag, its value and the way out."""
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"--pruning-sparsity {self.sparsity}: choose a share, such as 0.5")
        if self.interval < 1:
            raise ValueError(f"--pruning-interval {self.interval}: must be 1 or more")
        if not 0 <= self.start < self.end:
            raise ValueError(
                f"--pruning-start-update {self.start} --pruning-end-update {self.end}: the end "
                "must be above the start, and that not negative"
            )

    def sparsity_after(self, updates: int) -> float:
        """The share of zeros, which rises at each interval and at the end."""
        if updates >= self.end:
            return self.sparsity
        last = max(self.start, updates - (updates - self.start) % self.interval)
        left = (self.end - last) / (self.end - self.start)
        return self.sparsity * (1 - left**3)


@contextmanager
def pruning(
    schedule: Schedule, optimizer: FairseqOptimizer, model: nn.Module, updates: int
) -> Iterator[None]:
    """Around the optimizer's step, by which there have been so many `updates`.

    Momentum, and the gradient, would bring pruned weights back: they are set to zero again. Pruned
    is whatever has fewer zeros than the schedule says, also what a run goes on from.

    Raises: ValueError if the model has no layers' matrices.
    """
    matrices = list(layer_matrices(dict(model.named_parameters())).values())
    if not matrices:
        raise ValueError(
            f"--pruning-sparsity {schedule.sparsity}: no layer's weights are whole here: leave it "
            "out, or --ddp-backend fully_sharded"
        )
    copies = _fp32_copies(optimizer)
    weights = [copies.get(matrix, matrix).data for matrix in matrices]
    zeros = [weight.eq(0) for weight in weights] if updates > schedule.start else []
    yield
    for weight, is_zero in zip(weights, zeros, strict=False):
        weight.masked_fill_(is_zero, 0)
    wanted, count = schedule.sparsity_after(updates), sum(weight.numel() for weight in weights)
    if sum(int(is_zero.sum()) for is_zero in zeros) < round(wanted * count):
        prune(weights, wanted)
    for matrix, weight in zip(matrices, weights, strict=True):
        if matrix in copies:
            matrix.data.copy_(weight)


def prune(weights: Sequence[Tensor], sparsity: float) -> None:
    """Set that share of all the numbers to zero, in place: the smallest, of equal ones the first.

    Which ones does not depend on the device, so workers with the same weights prune the same.
    """
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    count = round(sparsity * len(magnitudes))
    if count == 0:
        return
    threshold = magnitudes.kthvalue(count).values
    smallest = magnitudes < threshold
    equal = magnitudes.eq(threshold).nonzero().flatten()
    smallest[equal[: count - int(smallest.sum())]] = True
    masks = smallest.split([weight.numel() for weight in weights])
    for weight, mask in zip(weights, masks, strict=True):
        weight.masked_fill_(mask.view_as(weight), 0)


def _fp32_copies(optimizer):
    """What a half-precision training updates, by the parameter that each part is then copied to."""
    if not isinstance(optimizer, FP16Optimizer):
        return {}
    if not optimizer.has_flat_params:
        return dict(zip(optimizer.fp16_params, optimizer.fp32_params, strict=True))
    copies = {}
    for device, flat in optimizer.fp32_params.items():
        halves = [half for half in optimizer.fp16_params if half.device.index == device]
        parts = flat.data.split([half.numel() for half in halves])
        copies.update((half, part.view_as(half)) for half, part in zip(halves, parts, strict=True))
    return copies
