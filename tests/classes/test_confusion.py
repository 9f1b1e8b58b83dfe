import random

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from selfteach_fairseq.classes.confusion import confusion, places, scores


@pytest.mark.parametrize("classes", [2, 3, 19])
def test_scores_are_scikit_learns_of_the_lists(classes):
    rng = random.Random(classes)
    true = [rng.randrange(classes) for _ in range(200)]
    said = [y if rng.random() < 0.6 else rng.randrange(classes) for y in true]
    # Sums of parts, as workers and batches have them.
    matrix = sum(
        confusion(torch.tensor(true[i : i + 30]), torch.tensor(said[i : i + 30]), classes)
        for i in range(0, 200, 30)
    )
    average = "binary" if classes == 2 else "macro"
    assert scores(matrix) == pytest.approx(
        {
            "accuracy": 100 * accuracy_score(true, said),
            "f1": 100 * f1_score(true, said, average=average),
            "mcc": 100 * matthews_corrcoef(true, said),
        }
    )


def test_a_class_that_nobody_is_of_does_not_count():
    matrix = confusion(torch.tensor([0, 0, 2]), torch.tensor([0, 2, 2]), 5)
    assert scores(matrix)["f1"] == pytest.approx(
        100 * f1_score([0, 0, 2], [0, 2, 2], average="macro")
    )


def test_of_two_classes_the_second_ones_f1():
    matrix = torch.tensor([[90, 0], [10, 0]])  # the second is never said
    assert scores(matrix) == {"accuracy": 90, "f1": 0, "mcc": 0}


@pytest.mark.parametrize("labels", [["0", "1"], ["1", "0"]])
def test_the_second_by_name_however_frequent(labels):
    """As GLUE has it: F1 is that of 1."""
    true, said = list("0111011101"), list("0101111000")
    numbers = [torch.tensor([labels.index(x) for x in each]) for each in (true, said)]
    place = places(labels)
    matrix = confusion(place[numbers[0]], place[numbers[1]], 2)
    assert scores(matrix)["f1"] == pytest.approx(100 * f1_score(true, said, pos_label="1"))
