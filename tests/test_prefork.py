"""What commands are given from memory is what they would have worked out."""

import fairseq.dataclass.utils
import hydra.experimental
import pytest
from omegaconf import OmegaConf
from prefork import settings_of

ADAM = ("data", "--arch", "transformer_selfteach_tiny", "--optimizer", "adam")
TAUGHT = ("--criterion", "label_smoothed_ce_selfteach", "--student-layers")


@pytest.mark.parametrize(
    "words",
    [
        (*ADAM, *TAUGHT, "2,4x1", "--lr", "0.1,0.02", "--cpu"),
        (*ADAM, "--adam-betas", "(0.9, 0.98)", "--save-dir", "a folder, of = 'its own'"),
        (*ADAM, "--eval-bleu", "--eval-bleu-args", '{"beam": 4}', "--max-epoch", "3"),
    ],
)
def test_settings_of_other_values_are_hydras(monkeypatch, words):
    remembered = settings_of(*words), settings_of(*words)
    monkeypatch.setattr(fairseq.dataclass.utils, "compose", hydra.experimental.compose)
    expected = OmegaConf.to_container(settings_of(*words))
    assert [OmegaConf.to_container(found) for found in remembered] == [expected] * 2
