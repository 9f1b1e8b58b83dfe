"""The self-teaching loss as its definition reads: one token and one type at a time, in float64.

Written from the paper's formula (Li and Odoom 2023, section 3.1) and fairseq's definition of label
smoothing; gradients are autograd's. Slow on purpose, and imports nothing of the package.
"""

import torch


def probabilities(logits):
    """softmax of one token's logits (V,)."""
    powers = torch.exp(logits - logits.max().detach())
    return powers / powers.sum()


def smoothed_cross_entropy(logits, target, epsilon):
    """- sum over the types of q(v) log p(v), with q = 1 - epsilon at the target."""
    p = probabilities(logits)
    others = len(logits) - 1
    q = [1 - epsilon if v == target else epsilon / others for v in range(len(logits))]
    return -sum(q[v] * torch.log(p[v]) for v in range(len(logits)) if q[v])


def kl(p, q):
    return sum(p[v] * (torch.log(p[v]) - torch.log(q[v])) for v in range(len(p)))


def reference_loss(
    full,
    students,
    target,
    *,
    label_smoothing,
    alpha,
    student_ce,
    divergence,
    kl_gradient,
    kl_temperature,
):
    """full: logits (N, V); students: a list of such; target: (N,).

    Returns: `loss`, differentiable; `nll`, `kl` and `student_nll` as numbers; all summed over N.
    """
    loss = full.new_zeros(())
    nll, kls, student_nlls = 0.0, [0.0] * len(students), [0.0] * len(students)
    for n, y in enumerate(target.tolist()):
        loss = loss + smoothed_cross_entropy(full[n], y, label_smoothing)
        nll -= torch.log(probabilities(full[n])[y]).item()
        for s, student in enumerate(students):
            teacher = full[n].detach() if kl_gradient == "student" else full[n]
            p = probabilities(teacher / kl_temperature)
            q = probabilities(student[n] / kl_temperature)
            distance = kl(p, q) if divergence == "kl" else kl(p, q) + kl(q, p)
            distance = distance * kl_temperature**2
            own = smoothed_cross_entropy(student[n], y, label_smoothing)
            loss = loss + (alpha * distance + student_ce * own) / len(students)
            kls[s] += distance.item()
            student_nlls[s] -= torch.log(probabilities(student[n])[y]).item()
    return {"loss": loss, "nll": nll, "kl": kls, "student_nll": student_nlls}
