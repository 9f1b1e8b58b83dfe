"""Checkpoints are read in one place, by torch's safe loader."""

import re

from conftest import ROOT

# What reads a checkpoint, or runs code that a file holds.
READS = re.compile(
    r"torch\.(jit\.|hub\.)?load\(|serialization\.load|from torch import .*\bload\b|allow_pickle|"
    r"pickle\.(load|Unpickler)|load_checkpoint_to_cpu|load_model_ensemble|torch_persistent_load|"
    r"\.from_pretrained\(|weights_only=False"
)


def test_every_checkpoint_is_read_by_the_one_safe_reader():
    found = {}
    for folder in ("selfteach_fairseq", "recipes", "benchmarks"):
        for path in (*ROOT.glob(f"{folder}/**/*.py"), *ROOT.glob(f"{folder}/**/*.sh")):
            lines = [line.strip() for line in path.read_text().splitlines() if READS.search(line)]
            if lines:
                found[path.relative_to(ROOT).as_posix()] = lines
    assert found == {
        "selfteach_fairseq/checkpoints/reading.py": [
            'return torch.load(path, map_location="cpu", weights_only=True)'
        ]
    }
