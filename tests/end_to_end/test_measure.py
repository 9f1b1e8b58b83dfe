"""recipes/measure.py around a training."""

import json
import sys

import pytest
from conftest import ROOT, run, train_command

sys.path.insert(0, str(ROOT / "recipes"))

import measure

# With these the checkpoint holds an argparse Namespace and numpy's scalars.
FLAGS = (
    *("--arch", "transformer", "--decoder-embed-dim", 16),
    *("--criterion", "label_smoothed_cross_entropy"),
    *("--eval-bleu", "--eval-bleu-args", '{"beam": 1, "max_len_b": 9}'),
    *("--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric"),
)


def test_whatever_its_checkpoint_holds_a_training_is_measured_to_its_end(data, tmp_path):
    command = train_command(data, tmp_path, "--max-epoch", 1, *FLAGS)
    run(sys.executable, measure.__file__, tmp_path / "cost.json", "--", *command)
    cost = json.loads((tmp_path / "cost.json").read_text())
    assert 0 < cost["training_seconds"] < 600
    assert cost["peak_memory_bytes"] > 1e7 and cost["peak_memory_of"] == "resident set"


def test_without_a_checkpoint_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint_last.pt: No such file or directory$"):
        measure.main(str(tmp_path / "cost.json"), "--", "true")
    assert list(tmp_path.iterdir()) == []
