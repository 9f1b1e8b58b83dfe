"""Confusion matrices of classifiers, and the scores that are read off them.

Shapes: B sentences, K classes.
"""

from collections.abc import Sequence

import torch
from sklearn.metrics import f1_score, matthews_corrcoef
from torch import Tensor


def places(labels: Sequence[str]) -> Tensor:
    """Of each label (K,) its place in the order of their names, as scores() wants them.

    fairseq numbers them by how frequent they are, so that of 0 and 1 either may come second.
    """
    order = sorted(range(len(labels)), key=lambda number: labels[number])
    return torch.tensor(order).argsort()


def confusion(targets: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """How many sentences (B,) of each class are said to be of each: (K, K), true by said."""
    pairs = torch.bincount(targets * classes + predictions, minlength=classes**2)
    return pairs.view(classes, classes)


def scores(matrix: Tensor) -> dict[str, float]:
    """In percent: accuracy; F1, of two classes the second one's, of more their mean (macro); and
    Matthews' correlation.

    Args:
        matrix: see confusion(), of classes in the order of places()
    """
    counts = matrix.cpu().long()
    true, said = counts.nonzero(as_tuple=True)
    weights = counts[true, said].numpy()
    pairs = (true.numpy(), said.numpy())
    average = "binary" if len(counts) == 2 else "macro"
    return {
        "accuracy": 100 * counts.trace().item() / int(counts.sum()),
        "f1": 100
        * float(f1_score(*pairs, sample_weight=weights, average=average, zero_division=0)),
        "mcc": 100 * float(matthews_corrcoef(*pairs, sample_weight=weights)),
    }
