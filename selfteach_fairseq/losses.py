"""The self-teaching loss: tensors in, tensors out.

Shapes: N tokens (no padding), n tokens of one chunk, C features, V types, S students.

Projection onto the types, softmax and all gradients are computed chunk by chunk in one pass, so
that no (N, V) tensor is ever held: what backward needs is (S + 1, N, C) and (V, C).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_BYTES = 16 * 2**20  # of one model's fp32 logits in one chunk


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


def self_teaching_loss(full, students, weight, target, objective, chunk_tokens=None):
    """The loss of a full model and of its students behind their shared output projection.

    Args:
        full: features of the full model, (N, C)
        students: features of each student, S tensors (N, C)
        weight: the output projection, (V, C)
        target: the types to predict, (N,), without padding
        objective: an Objective
        chunk_tokens: tokens projected at a time; None: as many as fill CHUNK_BYTES

    Returns: Losses
    """
    wants_grad = torch.is_grad_enabled()  # is always False inside Function.forward
    chunk_tokens = chunk_tokens or max(1, CHUNK_BYTES // (4 * weight.size(0)))
    outputs = _SelfTeaching.apply(
        target, objective, chunk_tokens, wants_grad, weight, full, *students
    )
    return Losses(*outputs)


class _SelfTeaching(torch.autograd.Function):
    @staticmethod
    def forward(ctx, target, objective, chunk_tokens, wants_grad, weight, full, *students):
        models = (full, *students)
        device = weight.device
        sums = Losses(*(torch.zeros(size, device=device) for size in _sum_sizes(len(students))))
        if wants_grad:
            # In fp32, for these gradients do not carry the loss scale of half precision yet.
            grads = [torch.empty_like(model, dtype=torch.float32) for model in models]
            grad_weight = torch.zeros_like(weight, dtype=torch.float32)

        for start in range(0, target.numel(), chunk_tokens):
            rows = slice(start, start + chunk_tokens)
            logits = [F.linear(model[rows], weight).float() for model in models]
            chunk_sums, grad_logits = _chunk(logits, target[rows], objective, wants_grad)
            for total, part in zip(sums, chunk_sums, strict=True):
                total += part
            if wants_grad:
                for model, grad, grad_logit in zip(models, grads, grad_logits, strict=True):
                    grad_logit = grad_logit.to(weight.dtype)
                    grad[rows] = grad_logit @ weight
                    grad_weight += grad_logit.t() @ model[rows]

        if wants_grad:
            ctx.save_for_backward(grad_weight, *grads)
            ctx.dtypes = [weight.dtype, *(model.dtype for model in models)]
        ctx.mark_non_differentiable(*sums[1:])
        return tuple(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss, *_):
        grads = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return None, None, None, None, *((grad_loss * g).to(dtype) for g, dtype in grads)


def _sum_sizes(students):
    return (), (), (students,), (students,), ()


def _chunk(logits, target, objective, wants_grad):
    """One chunk's sums, and the gradients by the logits (n, V) of the full model and students."""
    log_p, *log_qs = (F.log_softmax(logit, dim=1) for logit in logits)
    correct = logits[0].argmax(dim=1).eq(target).sum()
    loss, nll, grad_p = _cross_entropy(log_p, target, objective.label_smoothing, wants_grad)

    share = 1 / max(len(log_qs), 1)
    divergences, student_nlls, grad_qs = [], [], []
    for log_q in log_qs:
        divergence, to_p, to_q = _divergence(log_p, log_q, objective, wants_grad)
        ce, student_nll, grad_q = _cross_entropy(
            log_q, target, objective.label_smoothing, wants_grad
        )
        loss = loss + share * (objective.alpha * divergence + objective.student_ce * ce)
        divergences.append(divergence)
        student_nlls.append(student_nll)
        if wants_grad:
            grad_qs.append(
                grad_q.mul_(share * objective.student_ce).add_(to_q, alpha=share * objective.alpha)
            )
            if to_p is not None:
                grad_p.add_(to_p, alpha=share * objective.alpha)

    none = loss.new_zeros(0)
    sums = Losses(
        loss,
        nll,
        torch.stack(divergences) if divergences else none,
        torch.stack(student_nlls) if student_nlls else none,
        correct,
    )
    return sums, [grad_p, *grad_qs]


def _cross_entropy(log_probs, target, epsilon, wants_grad):
    """Label-smoothed CE, NLL, and the gradient of the former by the logits.

    As fairseq does, epsilon is spread over the V - 1 other types.
    """
    spread = epsilon / (log_probs.size(1) - 1)
    peak = 1 - epsilon - spread
    target = target.unsqueeze(1)
    nll = -log_probs.gather(1, target).sum()
    loss = peak * nll
    if epsilon:
        loss = loss - spread * log_probs.sum()
    if not wants_grad:
        return loss, nll, None
    grad = log_probs.exp()
    if epsilon:
        grad -= spread
    grad.scatter_add_(1, target, grad.new_full((1, 1), -peak).expand_as(target))
    return loss, nll, grad


def _divergence(log_p, log_q, objective, wants_grad):
    """D(full, student) of log-probabilities (n, V), and its gradients by the logits of both.

    The gradient by the full model's logits is None if `kl_gradient` is `student`.
    """
    temperature = objective.kl_temperature
    if temperature != 1:
        log_p = F.log_softmax(log_p / temperature, dim=1)
        log_q = F.log_softmax(log_q / temperature, dim=1)
    p, q = log_p.exp(), log_q.exp()
    symmetric = objective.divergence == "symmetric"
    ratio = log_p - log_q
    forward = (p * ratio).sum(dim=1, keepdim=True)  # KL(p || q), (n, 1)
    backward = -(q * ratio).sum(dim=1, keepdim=True) if symmetric else None
    divergence = (forward + backward if symmetric else forward).sum() * temperature**2
    if not wants_grad:
        return divergence, None, None

    to_q = q - p
    to_p = None
    if objective.kl_gradient == "both":
        to_p = (ratio - forward).mul_(p)
        if symmetric:
            to_p -= to_q
        to_p *= temperature
    if symmetric:
        to_q -= (ratio + backward).mul_(q)
    return divergence, to_p, to_q.mul_(temperature)
