"""The self-teaching loss: tensors in, tensors out.

Shapes: N tokens (no padding), n tokens of one chunk, C features, V types, S students.

Projection onto the types, softmax and all gradients are computed chunk by chunk in one pass, so
that no (N, V) tensor is ever held: what backward needs is (S + 1, N, C) and (V, C). Within a chunk
the tensors (n, V) are written in place, since allocating them costs as much as filling them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .terms import Objective, Targets, divergence, soft_targets, softmax

_CHUNK_BYTES = 2**25  # of one fp32 tensor (n, V), of which a chunk has seven, with a teacher nine
# On a CPU:
_CHUNK_TOKENS = 512  # more make the products no faster, and the rest slower
_ALIGNMENT = 16  # types; a product whose rows begin anywhere takes up to 1.8 times as long


class Teaching(NamedTuple):
    """What a frozen teacher, of any width C', says of the tokens.

    With it, CE(x) of every model x is `(1 - weight) * CE(x) + weight * T^2 * KL(teacher || x)`,
    where the temperature T divides both sides' logits.
    """

    features: Tensor  # (N, C')
    projection: Tensor  # (V, C')
    weight: float
    temperature: float

    def to(self, dtype: torch.dtype) -> "Teaching":
        """The same in another precision."""
        tensors = self.features.to(dtype), self.projection.to(dtype)
        return Teaching(*tensors, self.weight, self.temperature)


class Losses(NamedTuple):
    """Sums over the tokens, in nats; only `loss` is differentiable."""

    loss: Tensor  # ()
    nll: Tensor  # () of the full model, without smoothing
    kl: Tensor  # (S,) the divergence D of each student, without alpha
    student_nll: Tensor  # (S,) without smoothing
    correct: Tensor  # () tokens whose target the full model ranks first; 0 unless asked for
    teacher_kl: Tensor  # () T^2 * KL(teacher || full), without its weight; 0 without a teacher


def self_teaching_loss(
    full: Tensor,
    students: Sequence[Tensor],
    weight: Tensor,
    target: Tensor,
    objective: Objective,
    chunk_tokens: int | None = None,
    teaching: Teaching | None = None,
    counts_correct: bool = False,
    stock: bool = False,
) -> Losses:
    """The loss of a full model and of its students behind their shared output projection.

    Args:
        full: features of the full model, (N, C)
        students: features of each student, S tensors (N, C)
        weight: the output projection, (V, C)
        target: the types to predict, (N,), without padding
        objective: an Objective
        chunk_tokens: tokens projected at a time; None: as many as the memory budget holds
        teaching: what a teacher says of the tokens
        counts_correct: also count the tokens whose target is ranked first, of equals as the first
        stock: align nothing in memory, which changes last digits: for --stock-update

    Returns: Losses
    """
    call = _Call(
        target=target,
        objective=objective,
        chunk_tokens=_chunk_tokens(weight) if chunk_tokens is None else chunk_tokens,
        teaching=teaching,
        counts_correct=counts_correct,
        aligns=weight.device.type == "cpu" and not stock,
        wants_grad=torch.is_grad_enabled(),  # is always False inside Function.forward
    )
    return Losses(*_SelfTeaching.apply(call, weight, full, *students))


def _chunk_tokens(weight):
    tokens = max(1, _CHUNK_BYTES // (4 * weight.size(0)))
    return min(tokens, _CHUNK_TOKENS) if weight.device.type == "cpu" else tokens


class _Call(NamedTuple):
    """What the loss is asked for, but for the tensors that get gradients."""

    target: Tensor
    objective: Objective
    chunk_tokens: int
    teaching: Teaching | None
    counts_correct: bool
    aligns: bool
    wants_grad: bool


class _SelfTeaching(torch.autograd.Function):
    @staticmethod
    def forward(ctx, call, weight, *models):
        ctx.dtypes = [weight.dtype, *(model.dtype for model in models)]
        device = weight.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            weight, *models = (tensor.to(dtype) for tensor in (weight, *models))
            if call.teaching is not None:
                call = call._replace(teaching=call.teaching.to(dtype))

        students = len(models) - 1
        sums = Losses(*(weight.new_zeros(size, dtype=torch.float32) for size in _sizes(students)))
        # In fp32, for these gradients do not carry the loss scale of half precision yet.
        rows = None if call.wants_grad else 0  # all of them, or none
        grads = [torch.zeros_like(t[:rows], dtype=torch.float32) for t in (weight, *models)]
        chunk = _Chunk(call, weight, sums, grads[0])
        with torch.autocast(device, enabled=False):
            for start in range(0, call.target.numel(), call.chunk_tokens):
                rows = slice(start, start + call.chunk_tokens)
                chunk.add(rows, [model[rows] for model in models], [g[rows] for g in grads[1:]])
        if call.wants_grad:
            ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(*sums[1:])
        return tuple(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss, *_):
        grads = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return None, *((grad_loss * g).to(dtype) for g, dtype in grads)


def _sizes(students):
    return (), (), (students,), (students,), (), ()


class _Chunk:
    """The tensors (n, V) of one chunk, and what is computed in them.

    Logits z, probabilities p and gradients by z of the full model; zs, q and grad_q likewise of
    one student at a time; t and soft of a teacher.
    """

    def __init__(self, call, weight, sums, grad_weight):
        self.call, self.weight = call, weight
        self.sums, self.grad_weight = sums, grad_weight
        tokens, types = min(call.chunk_tokens, call.target.numel()), weight.size(0)
        row = -(-types // _ALIGNMENT) * _ALIGNMENT if call.aligns else types
        teaches = call.teaching is not None
        # Those of matrix products, and others, since a softmax would copy rows with gaps.
        products = weight.new_empty(4 + teaches, tokens, row, dtype=torch.float32)[..., :types]
        others = weight.new_empty(3 + teaches, tokens, types, dtype=torch.float32)
        self.z, self.grad_p, self.zs, self.grad_q, *t = products
        self.p, self.q, self.scratch, *soft = others
        self.of_teacher = (*t, *soft)

    def add(self, rows, models, grads):
        """Adds the part of these rows to the sums and grad_weight, and writes `grads`."""
        target = self.call.target[rows].unsqueeze(1)  # (n, 1)
        n, wants_grad = len(target), self.call.wants_grad
        z, p, scratch = self.z[:n], self.p[:n], self.scratch[:n]
        grad_p = self.grad_p[:n] if wants_grad else None
        full, *students = models

        _product(full, self.weight.t(), out=z)
        model = softmax(z, p)
        targets = self._targets(target, rows, scratch)
        loss, nll, teacher_kl = targets.loss(model, 1.0, grad_p, scratch)
        self.sums.loss.add_(loss)
        self.sums.nll.add_(nll)
        if self.call.counts_correct:  # an argmax takes a CPU nearly as long as the softmax
            self.sums.correct.add_((z.argmax(dim=1, keepdim=True) == target).sum())
        if teacher_kl is not None:
            self.sums.teacher_kl.add_(teacher_kl)

        for i, student in enumerate(students):
            self._add_student(i, student, model, targets, grads[i + 1])
        if wants_grad:
            self._pull_back(grad_p, full, grads[0])

    def _targets(self, target, rows, scratch):
        o, teaching = self.call.objective, self.call.teaching
        if teaching is None:
            return Targets(target, o.label_smoothing)
        t, soft = (tensor[: len(target)] for tensor in self.of_teacher)
        _product(teaching.features[rows], teaching.projection.t(), out=t)
        teacher = soft_targets(t, teaching.temperature, soft, scratch)
        return Targets(target, o.label_smoothing, teacher, teaching.weight, teaching.temperature)

    def _add_student(self, i, features, full, targets, grad):
        o, wants_grad = self.call.objective, self.call.wants_grad
        scale = 1 / len(self.sums.kl)
        n = len(features)
        zs, q, scratch = self.zs[:n], self.q[:n], self.scratch[:n]
        grad_p, grad_q = (self.grad_p[:n], self.grad_q[:n]) if wants_grad else (None, None)

        _product(features, self.weight.t(), out=zs)
        student = softmax(zs, q)
        loss, nll, _ = targets.loss(student, scale * o.student_ce, grad_q, scratch)
        kl = divergence(
            *(full, student, grad_p if o.kl_gradient == "both" else None, grad_q),
            symmetric=o.divergence == "symmetric",
            temperature=o.kl_temperature,
            scale=scale * o.alpha,
            scratch=scratch,
        )
        self.sums.loss.add_(scale * (o.student_ce * loss + o.alpha * kl))
        self.sums.student_nll[i].add_(nll)
        self.sums.kl[i].add_(kl)
        if wants_grad:
            self._pull_back(grad_q, features, grad)

    def _pull_back(self, grad_logits, features, grad_features):
        """From gradients by logits to gradients by features and by the projection."""
        if features.dtype == torch.float32:
            torch.mm(grad_logits, self.weight, out=grad_features)
            self.grad_weight.addmm_(grad_logits.t(), features)
            return
        # fp16 can't hold the small ones, which no loss scale has reached, but relative to the peak.
        peak = torch.linalg.vector_norm(grad_logits, float("inf")).clamp_min(1e-30)
        grad_logits = grad_logits.div_(peak).to(features.dtype)
        _product(grad_logits, self.weight, out=grad_features).mul_(peak)
        by_weight = _product(grad_logits.t(), features, out=torch.empty_like(self.grad_weight))
        self.grad_weight.add_(by_weight.mul_(peak))


def _product(a, b, out):
    """Writes a @ b in fp32, also of factors in half precision."""
    if a.dtype == out.dtype:
        return torch.mm(a, b, out=out)
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=out.dtype, out=out)
    return torch.mm(a.float(), b.float(), out=out)
