"""The self-teaching loss: tensors in, tensors out.

Shapes: N tokens (no padding), n tokens of one chunk, C features, V types, S students.

Projection onto the types, softmax and all gradients are computed chunk by chunk in one pass, so
that no (N, V) tensor is ever held: what backward needs is (S + 1, N, C) and (V, C). Within a chunk
the tensors (n, V) are written in place, since allocating them costs as much as filling them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK_BYTES = 2**25  # of one fp32 tensor (n, V), of which a chunk has seven
_CHUNK_TOKENS = 512  # on a CPU, where more make the products no faster, and the rest slower


@dataclass(frozen=True)
class Objective:
    """What is minimised: the paper's formula (section 3.1) and the variants of its authors' code.

    `CE(full) + alpha * D(full, student) + student_ce * CE(student)`, the means over the students,
    where D is `kl`: KL(full || student), or `symmetric`: KL(full || student) + KL(student || full).
    `kl_gradient` says which side D moves: the `student`, or `both`. `kl_temperature` T divides
    the logits within D and multiplies D by T^2.
    """

    label_smoothing: float = 0.0
    alpha: float = 1.0
    student_ce: float = 1.0
    divergence: str = "kl"
    kl_gradient: str = "both"
    kl_temperature: float = 1.0


class Losses(NamedTuple):
    """Sums over the tokens, in nats; only `loss` is differentiable."""

    loss: Tensor  # ()
    nll: Tensor  # () of the full model, without smoothing
    kl: Tensor  # (S,) the divergence D of each student, without alpha
    student_nll: Tensor  # (S,) without smoothing
    correct: Tensor  # () tokens whose target the full model ranks first


def self_teaching_loss(
    full: Tensor,
    students: Sequence[Tensor],
    weight: Tensor,
    target: Tensor,
    objective: Objective,
    chunk_tokens: int | None = None,
) -> Losses:
    """The loss of a full model and of its students behind their shared output projection.

    Args:
        full: features of the full model, (N, C)
        students: features of each student, S tensors (N, C)
        weight: the output projection, (V, C)
        target: the types to predict, (N,), without padding
        objective: an Objective
        chunk_tokens: tokens projected at a time; None: as many as the memory budget holds

    Returns: Losses
    """
    wants_grad = torch.is_grad_enabled()  # is always False inside Function.forward
    chunk_tokens = _chunk_tokens(weight) if chunk_tokens is None else chunk_tokens
    inputs = target, objective, chunk_tokens, wants_grad, weight, full, *students
    return Losses(*_SelfTeaching.apply(*inputs))


def _chunk_tokens(weight):
    tokens = max(1, _CHUNK_BYTES // (4 * weight.size(0)))
    return min(tokens, _CHUNK_TOKENS) if weight.device.type == "cpu" else tokens


class _SelfTeaching(torch.autograd.Function):
    @staticmethod
    def forward(ctx, target, objective, chunk_tokens, wants_grad, weight, *models):
        ctx.dtypes = [weight.dtype, *(model.dtype for model in models)]
        device = weight.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            weight, *models = (tensor.to(dtype) for tensor in (weight, *models))

        students = len(models) - 1
        sums = Losses(*(weight.new_zeros(size, dtype=torch.float32) for size in _sizes(students)))
        # In fp32, for these gradients do not carry the loss scale of half precision yet.
        rows = None if wants_grad else 0  # all of them, or none
        grads = [torch.zeros_like(t[:rows], dtype=torch.float32) for t in (weight, *models)]
        chunk = _Chunk(min(chunk_tokens, target.numel()), weight, objective, wants_grad)
        with torch.autocast(device, enabled=False):
            for start in range(0, target.numel(), chunk_tokens):
                rows = slice(start, start + chunk_tokens)
                features = [model[rows] for model in models]
                of_features = [grad[rows] for grad in grads[1:]]
                chunk.add(features, target[rows], sums, grads[0], of_features)
        if wants_grad:
            ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(*sums[1:])
        return tuple(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss, *_):
        grads = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return None, None, None, None, *((grad_loss * g).to(dtype) for g, dtype in grads)


def _sizes(students):
    return (), (), (students,), (students,), ()


class _Chunk:
    """The tensors (n, V) of one chunk, and what is computed in them.

    Logits z, probabilities p and gradients by z of the full model; zs, q and grad_q likewise of
    one student at a time.
    """

    def __init__(self, tokens, weight, objective, wants_grad):
        self.weight = weight
        self.objective = objective
        self.wants_grad = wants_grad
        self.buffers = weight.new_empty(7, tokens, weight.size(0), dtype=torch.float32)

    def add(self, models, target, sums, grad_weight, grads):
        """Adds the tokens' part to `sums` and `grad_weight`, and writes their rows of `grads`."""
        o = self.objective
        z, p, grad_p, zs, q, grad_q, scratch = self.buffers[:, : target.numel()]
        target = target.unsqueeze(1)  # (n, 1)
        full, *students = models

        _product(full, self.weight.t(), out=z)
        lse_p, best = _softmax(z, p)
        ce, nll = _cross_entropy(z, lse_p, target, o.label_smoothing)
        sums.loss.add_(ce)
        sums.nll.add_(nll)
        sums.correct.add_((best == target).sum())
        if self.wants_grad:
            _cross_entropy_gradient(p, target, o.label_smoothing, 1.0, out=grad_p)

        for i, student in enumerate(students):
            share = 1 / len(students)
            _product(student, self.weight.t(), out=zs)
            lse_q, _ = _softmax(zs, q)
            ce, nll = _cross_entropy(zs, lse_q, target, o.label_smoothing)
            if self.wants_grad:
                _cross_entropy_gradient(
                    q, target, o.label_smoothing, share * o.student_ce, out=grad_q
                )
            divergence = _divergence(
                *(z, p, lse_p, grad_p if o.kl_gradient == "both" else None),
                *(zs, q, lse_q, grad_q),
                objective=o,
                scale=share * o.alpha,
                scratch=scratch,
                wants_grad=self.wants_grad,
            )
            sums.loss.add_(share * (o.student_ce * ce + o.alpha * divergence))
            sums.student_nll[i].add_(nll)
            sums.kl[i].add_(divergence)
            if self.wants_grad:
                self._pull_back(grad_q, student, grad_weight, grads[i + 1])
        if self.wants_grad:
            self._pull_back(grad_p, full, grad_weight, grads[0])

    def _pull_back(self, grad_logits, features, grad_weight, grad_features):
        """From gradients by logits to gradients by features and by the projection."""
        if features.dtype == torch.float32:
            torch.mm(grad_logits, self.weight, out=grad_features)
            grad_weight.addmm_(grad_logits.t(), features)
            return
        # fp16 can't hold the small ones, which no loss scale has reached, but relative to the peak.
        peak = torch.linalg.vector_norm(grad_logits, float("inf")).clamp_min(1e-30)
        grad_logits = grad_logits.div_(peak).to(features.dtype)
        _product(grad_logits, self.weight, out=grad_features).mul_(peak)
        by_weight = _product(grad_logits.t(), features, out=torch.empty_like(grad_weight))
        grad_weight.add_(by_weight.mul_(peak))


def _product(a, b, out):
    """Writes a @ b in fp32, also of factors in half precision."""
    if a.dtype == out.dtype:
        return torch.mm(a, b, out=out)
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=out.dtype, out=out)
    return torch.mm(a.float(), b.float(), out=out)


def _softmax(z, out):
    """Writes softmax(z). Returns: log sum exp(z) and the likeliest type, both (n, 1).

    The former is read off the latter, the first of equals, whose probability is at least 1 / V.
    """
    torch.softmax(z, dim=1, out=out)
    best = z.argmax(dim=1, keepdim=True)
    return z.gather(1, best) - out.gather(1, best).log(), best


def _smoothing(epsilon, types):
    """The weight of every type and the further weight of the target, as fairseq smooths."""
    spread = epsilon / (types - 1)
    return spread, 1 - epsilon - spread


def _cross_entropy(z, lse, target, epsilon):
    """The sums of label-smoothed CE and of NLL."""
    spread, peak = _smoothing(epsilon, z.size(1))
    nll = (lse - z.gather(1, target)).sum()
    if epsilon == 0:
        return nll, nll
    return peak * nll + spread * (lse * z.size(1) - z.sum(dim=1, keepdim=True)).sum(), nll


def _cross_entropy_gradient(p, target, epsilon, scale, out):
    """Writes `scale` times the gradient of the label-smoothed CE by the logits."""
    spread, peak = _smoothing(epsilon, p.size(1))
    torch.mul(p, scale, out=out)
    if epsilon:
        out.sub_(spread * scale)
    out.scatter_add_(1, target, out.new_full((1, 1), -peak * scale).expand_as(target))


def _divergence(
    z, p, lse_p, grad_p, zs, q, lse_q, grad_q, *, objective, scale, scratch, wants_grad
):
    """The sum of D(full, student); adds `scale` times its gradients to grad_p and grad_q.

    Overwrites zs and scratch. With grad_p None the full model is a constant.
    """
    temperature = objective.kl_temperature
    symmetric = objective.divergence == "symmetric"
    if temperature != 1:
        p, q = torch.empty_like(p), torch.empty_like(q)
        (lse_p, _), (lse_q, _) = _softmax(z / temperature, p), _softmax(zs / temperature, q)
    difference = torch.sub(z, zs, out=zs).div_(temperature)
    offset = lse_p - lse_q  # log p - log q = difference - offset

    torch.mul(p, difference, out=scratch)
    mean_p = scratch.sum(dim=1, keepdim=True)
    divergence = (mean_p - offset).sum()  # KL(p || q)
    scale = scale * temperature  # T^2 of the value, 1 / T of the logits' derivative
    if wants_grad and scale:
        grad_q.add_(q, alpha=scale).sub_(p, alpha=scale)
        if grad_p is not None:  # as one product, for far apart logits would swallow what is there
            grad_p.addcmul_(p, torch.sub(difference, mean_p, out=scratch), value=scale)
    if symmetric:
        torch.mul(q, difference, out=scratch)
        mean_q = scratch.sum(dim=1, keepdim=True)
        divergence = divergence + (offset - mean_q).sum()  # KL(q || p)
        if wants_grad and scale:
            grad_q.addcmul_(q, torch.sub(difference, mean_q, out=scratch), value=-scale)
            if grad_p is not None:
                grad_p.add_(p, alpha=scale).sub_(q, alpha=scale)
    return divergence * temperature**2
