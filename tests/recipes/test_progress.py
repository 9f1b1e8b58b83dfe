"""recipes/progress.py: what of a training's output people see."""

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "recipes"))

import progress


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "2026-11-24 09:00:00 | INFO | valid | epoch 002 | valid on 'valid' subset | loss 3 | "
            "nll_loss 3.1 | kl 0.2 | student_3x1_nll_loss 3.5 | student_0_2x1_nll_loss 4 | "
            "num_updates 12",
            "   validation after epoch 2, bits per token: full 3.1, KL 0.2, student 3x1 3.5, "
            "student 0+2x1 4",
        ),
        (
            "2026-11-24 09:00:00 | INFO | train_inner | epoch 001:    100 / 200 loss=9.5, "
            "num_updates=100, lr=1e-3, wall=61",
            "   epoch 1, update 100: loss 9.5, 1:01 min",
        ),
        (
            "2026-11-24 09:00:00 | INFO | valid | epoch 002 | valid on 'valid' subset | loss 3 | "
            "accuracy 61.2 | nll_loss 3.1 | student_2_accuracy 60 | student_2_nll_loss 3.5 | "
            "best_accuracy 61.3 | num_updates 12",
            "   validation after epoch 2, accuracy: full 61.2, student 2 60",
        ),
        ("2026-11-24 09:00:00 | INFO | fairseq.trainer | begin dry-run", None),
        ("measure.py: error: x\n", "   measure.py: error: x"),
    ],
)
def test_what_people_see(line, shown):
    assert progress.line_for_people(line) == shown
