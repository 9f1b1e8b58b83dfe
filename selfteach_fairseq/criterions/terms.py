"""The terms of the loss: each gives its sum over the tokens, and its gradients by the logits.

Shapes: n tokens, V types. Tensors (n, V) are written in place, for allocating them costs as much as
filling them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


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


class Softmax(NamedTuple):
    """What is read off logits."""

    z: Tensor  # (n, V) the logits
    p: Tensor  # (n, V) their probabilities
    lse: Tensor  # (n, 1) log sum exp(z)


def softmax(z: Tensor, out: Tensor) -> Softmax:
    """Writes the probabilities of logits (n, V) to `out`."""
    torch.softmax(z, dim=1, out=out)
    # Of the likeliest type, whose probability is at least 1 / V.
    return Softmax(z, out, z.amax(dim=1, keepdim=True) - out.amax(dim=1, keepdim=True).log())


def _cooled(model, temperature, scratch):
    """Probabilities and log sum exp of logits that the temperature divides."""
    if temperature == 1:
        return model.p, model.lse
    z = torch.div(model.z, temperature, out=scratch)
    cooled = softmax(z, out=torch.empty_like(model.p))
    return cooled.p, cooled.lse


class Targets(NamedTuple):
    """What every model learns by itself: the types in the text, and a teacher's probabilities.

    `(1 - weight) * CE + weight * T^2 * KL(teacher || model)`, the CE label-smoothed, where the
    temperature T divides both sides' logits; without a teacher the CE.
    """

    types: Tensor  # (n, 1)
    label_smoothing: float
    teacher: Softmax | None = None  # p and lse of logits that T divides
    weight: float = 0.0
    temperature: float = 1.0

    def loss(
        self, model: Softmax, scale: float, grad: Tensor | None, scratch: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Writes `scale` times its gradient by the logits to `grad` (n, V), unless that is None.

        Returns: the sums of the loss, of NLL and of the teacher's T^2 * KL, None without one
        """
        ce, nll = _cross_entropy(model, self.types, self.label_smoothing)
        of_text = 1 - self.weight
        if grad is not None:
            _cross_entropy_gradient(
                model.p, self.types, self.label_smoothing, scale * of_text, out=grad
            )
        if self.teacher is None:
            return ce, nll, None
        kl = self._divergence(self.teacher, model, scale * self.weight, grad, scratch)
        return of_text * ce + self.weight * kl, nll, kl

    def _divergence(self, teacher, model, scale, grad, scratch):
        """T^2 * KL(teacher || model); adds `scale` times its gradient to `grad`."""
        q, lse_q = _cooled(model, self.temperature, scratch)
        difference = torch.sub(teacher.z, model.z, out=scratch)
        mean = difference.mul_(teacher.p).sum(dim=1, keepdim=True) / self.temperature
        if grad is not None:
            scale = scale * self.temperature  # T^2 of the value, 1 / T of the logits' derivative
            grad.add_(q, alpha=scale).sub_(teacher.p, alpha=scale)
        return (mean - (teacher.lse - lse_q)).sum() * self.temperature**2


def soft_targets(z: Tensor, temperature: float, out: Tensor, scratch: Tensor) -> Softmax:
    """A teacher's part in Targets, of its logits (n, V); writes probabilities to `out`."""
    cooled = z if temperature == 1 else torch.div(z, temperature, out=scratch)
    return softmax(cooled, out)._replace(z=z)


def _smoothing(epsilon, types):
    """The weight of every type and the further weight of the target, as fairseq smooths."""
    spread = epsilon / (types - 1)
    return spread, 1 - epsilon - spread


def _cross_entropy(model, target, epsilon):
    """The sums of label-smoothed CE and of NLL."""
    z, lse = model.z, model.lse
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


def divergence(
    full: Softmax,
    student: Softmax,
    grad_full: Tensor | None,
    grad_student: Tensor | None,
    *,
    symmetric: bool,
    temperature: float,
    scale: float,
    scratch: Tensor,
) -> Tensor:
    """The sum of T^2 * KL(full || student), or of that and T^2 * KL(student || full).

    Adds `scale` times its gradients by the logits to grad_full and grad_student (n, V); the side
    whose gradient is None is a constant. Overwrites the student's logits and `scratch`.
    """
    p, lse_p = _cooled(full, temperature, scratch)
    q, lse_q = _cooled(student, temperature, scratch)
    difference = torch.sub(full.z, student.z, out=student.z)
    if temperature != 1:
        difference.div_(temperature)
    offset = lse_p - lse_q  # log p - log q = difference - offset

    torch.mul(p, difference, out=scratch)
    mean_p = scratch.sum(dim=1, keepdim=True)
    found = (mean_p - offset).sum()  # KL(p || q)
    scale = scale * temperature  # T^2 of the value, 1 / T of the logits' derivative
    if scale and grad_student is not None:
        grad_student.add_(q, alpha=scale).sub_(p, alpha=scale)
    if scale and grad_full is not None:
        # As one product, for logits far apart would swallow what is there.
        grad_full.addcmul_(p, torch.sub(difference, mean_p, out=scratch), value=scale)
    if symmetric:
        torch.mul(q, difference, out=scratch)
        mean_q = scratch.sum(dim=1, keepdim=True)
        found = found + (offset - mean_q).sum()  # KL(q || p)
        if scale and grad_student is not None:
            grad_student.addcmul_(q, torch.sub(difference, mean_q, out=scratch), value=-scale)
        if scale and grad_full is not None:
            grad_full.add_(p, alpha=scale).sub_(q, alpha=scale)
    return found * temperature**2
