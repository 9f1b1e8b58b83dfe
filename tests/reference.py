"""The method as its definition reads: a loop over the tokens, sums over the types, in any dtype.

Written from the paper's formula (Li and Odoom 2023, section 3.1) and fairseq's definition of label
smoothing; gradients are autograd's. Slow on purpose, and imports nothing of the package.
"""

import copy
import math
from types import SimpleNamespace

import torch
from fairseq.models.transformer import TransformerModel


def log_probabilities(logits):
    """log softmax of one token's logits (V,); finite also where a probability rounds to 0."""
    shifted = logits - logits.max().detach()
    return shifted - torch.log(torch.exp(shifted).sum())


def smoothed_cross_entropy(log_p, target, epsilon):
    """- sum over the types of q(v) log p(v), with q = 1 - epsilon at the target."""
    q = torch.full_like(log_p, epsilon / (len(log_p) - 1))
    q[target] = 1 - epsilon
    return -(q * log_p).sum()


def kl(log_p, log_q):
    """Sum over the types of p(v) log(p(v) / q(v))."""
    return (torch.exp(log_p) * (log_p - log_q)).sum()


def supervised(log_p, logits, target, epsilon, teacher_logits, weight, temperature):
    """What one token teaches a model: (1 - w) CE + w T^2 KL(teacher || model), or without a teacher
    the CE (Hinton et al. 2015; Kim and Rush 2016). Returns: that, and T^2 KL."""
    ce = smoothed_cross_entropy(log_p, target, epsilon)
    if teacher_logits is None:
        return ce, 0.0
    of_teacher = log_probabilities(teacher_logits / temperature).detach()
    soft = temperature**2 * kl(of_teacher, log_probabilities(logits / temperature))
    return (1 - weight) * ce + weight * soft, soft.item()


def reference_loss(
    full_logits,
    student_logits,
    target,
    *,
    label_smoothing,
    alpha,
    student_ce,
    divergence,
    kl_gradient,
    kl_temperature,
    teacher_logits=None,
    teacher_weight=0.0,
    teacher_temperature=1.0,
):
    """full_logits: (N, V); student_logits: a list of such; target: (N,); teacher_logits: (N, V).

    Returns: `loss`, differentiable; `nll`, `kl`, `student_nll` and `teacher_kl` as numbers; all
    summed over N.
    """
    students = len(student_logits)
    teacher_kl = 0.0
    loss = full_logits.sum() * 0  # differentiable also where there is no token
    nll, kls, student_nlls = 0.0, [0.0] * students, [0.0] * students
    for n, y in enumerate(target.tolist()):
        full = log_probabilities(full_logits[n])
        teacher = None if teacher_logits is None else teacher_logits[n]
        settings = (y, label_smoothing, teacher, teacher_weight, teacher_temperature)
        own, soft = supervised(full, full_logits[n], *settings)
        loss = loss + own
        nll -= full[y].item()
        teacher_kl += soft
        for s, logits in enumerate(student_logits):
            student = log_probabilities(logits[n])
            p = log_probabilities(full_logits[n] / kl_temperature)
            q = log_probabilities(logits[n] / kl_temperature)
            if kl_gradient == "student":
                p = p.detach()
            distance = kl(p, q) if divergence == "kl" else kl(p, q) + kl(q, p)
            distance = distance * kl_temperature**2
            own, _ = supervised(student, logits[n], *settings)
            loss = loss + (alpha * distance + student_ce * own) / students
            kls[s] += distance.item()
            student_nlls[s] -= student[y].item()
    figures = {"nll": nll, "kl": kls, "student_nll": student_nlls, "teacher_kl": teacher_kl}
    return {"loss": loss, **figures}


def reference_r3f(clean_logits, noisy_logits, target, *, pad, label_smoothing, weight):
    """R3F (Aghajanyan et al. 2020): CE(clean) + weight * KL_S(clean, noisy), of target tokens.

    clean_logits, noisy_logits: (N, V); target: (N,), with padding, which counts for nothing.
    Returns: (loss, the KL_S alone).
    """
    loss, apart = clean_logits.sum() * 0, 0.0
    for clean, noisy, y in zip(clean_logits, noisy_logits, target.tolist(), strict=True):
        if y == pad:
            continue
        p, q = log_probabilities(clean), log_probabilities(noisy)
        symmetric = kl(p, q) + kl(q, p)
        loss = loss + smoothed_cross_entropy(p, y, label_smoothing) + weight * symmetric
        apart += symmetric.item()
    return loss, apart


def reference_x_divergence(log_ps):
    """X-divergence of one token (Xu et al. 2022): log_ps are the passes' log-probabilities, (V,)
    each. The mean is that of the probabilities."""
    mean = sum(torch.exp(log_p) for log_p in log_ps) / len(log_ps)
    log_mean = torch.log(mean)
    return sum(kl(log_p, log_mean) + kl(log_mean, log_p) for log_p in log_ps) / len(log_ps)


def reference_adaptive_alpha(update, updates, *, alpha, p, q):
    """The adaptive weight (Xu et al. 2022), by what it is to be: a straight line of log weight over
    log update, 1 at updates / q and alpha at updates / p, and constant from there on."""
    if update == 0:
        return 0.0
    begin, end = math.log(updates / q), math.log(updates / p)
    at = min(math.log(update), end)
    return math.exp((at - begin) / (end - begin) * math.log(alpha))


def reference_student_logits(full_model, student, sample):
    """Logits (B, T, V) of a stock fairseq model of the student's depth, given copies of the
    full model's weights by their names; in eval mode."""
    cfg = copy.deepcopy(full_model.cfg)
    depths = dict(zip(("encoder", "decoder"), student.counts, strict=True))
    cfg.encoder.layers, cfg.decoder.layers = depths["encoder"], depths["decoder"]
    dictionaries = SimpleNamespace(  # copies, for fairseq merges dictionaries in place
        source_dictionary=copy.deepcopy(full_model.encoder.dictionary),
        target_dictionary=copy.deepcopy(full_model.decoder.dictionary),
    )
    fresh = TransformerModel.build_model(cfg, dictionaries)
    kept = {}
    for name, weight in full_model.state_dict().items():
        side, group, index, *_ = [*name.split("."), "", ""]
        if group != "layers" or int(index) < depths[side]:
            kept[name] = weight.clone()
    fresh.load_state_dict(kept, strict=True)
    with torch.no_grad():
        return fresh.eval()(**sample["net_input"])[0]


def reference_products(model, sentences):
    """|theta * dL/dtheta| of every number of the layers (sections 2.1 and 2.2), in a list by the
    name of its parameter; L is the mean of - log p(y) over the target tokens.

    model: a fairseq Transformer in eval mode; sentences: pairs of lists of tokens, not padded.
    """
    losses = []
    for source, target in sentences:
        previous = torch.tensor([[2, *target[:-1]]])
        logits = model(torch.tensor([source]), torch.tensor([len(source)]), previous)[0]
        losses += [-log_probabilities(logits[0, t])[y] for t, y in enumerate(target)]
    loss = sum(losses) / len(losses)
    parameters = {n: p for n, p in model.named_parameters() if ".layers." in n}
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    products = {}
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        numbers = zip(parameter.flatten().tolist(), gradient.flatten().tolist(), strict=True)
        products[name] = [abs(theta * slope) for theta, slope in numbers]
    return products


def scheduled_sparsity(updates, *, sparsity, start, end, interval):
    """The share of zeros after so many updates: s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3
    at t = t_0, t_0 + dt, ... (Zhu and Gupta 2017, equation 1), here with s_i = 0. It stays so until
    the next of these, and is s_f from t_0 + n dt on, the end, whether or not n is whole."""
    reached = 0.0
    for t in range(start, updates + 1):
        if t >= end:
            reached = sparsity
        elif (t - start) % interval == 0:
            reached = sparsity + (0 - sparsity) * (1 - (t - start) / (end - start)) ** 3
    return reached


def prunable(weights):
    """The names of what is pruned: in all layers the projections of attention and both matrices of
    the feed-forward network."""
    matrices = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    ends = tuple(f".{matrix}.weight" for matrix in matrices)
    return [name for name in weights if ".layers." in name and name.endswith(ends)]


def layer_zeros(weights):
    """How many of the numbers that are pruned are zero, and how many there are, in a state_dict."""
    numbers = [x for name in prunable(weights) for x in weights[name].flatten().tolist()]
    return numbers.count(0), len(numbers)


def reference_pruned(tensors, sparsity):
    """Copies of tensors with that share of all their numbers set to zero, of the least magnitude
    whichever tensor they are in ("class-blind", See et al. 2016); of equal ones the first."""
    places = [(abs(x), t, i) for t, w in enumerate(tensors) for i, x in enumerate(w.flatten())]
    copies = [tensor.clone() for tensor in tensors]
    for _, t, i in sorted(places, key=lambda place: place[0])[: round(sparsity * len(places))]:
        copies[t].view(-1)[i] = 0
    return copies
