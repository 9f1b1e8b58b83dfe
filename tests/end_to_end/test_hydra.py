"""fairseq-hydra-train: a YAML file gives the model that a command line gives."""

import sys

import pytest
import torch
from conftest import USER_DIR, fairseq, run, selfteach

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint

CONFIG = """# @package _global_
common: {{user_dir: "{user_dir}", cpu: true, no_progress_bar: true, log_format: simple}}
checkpoint: {{save_dir: "{save_dir}", no_epoch_checkpoints: true}}
task: {{_name: translation, data: "{data}", source_lang: xx, target_lang: en}}
dataset: {{max_tokens: 256, num_workers: 0}}
optimization: {{max_update: 3, lr: [0.01]}}
optimizer: {{_name: adam}}
lr_scheduler: {{_name: fixed}}
criterion: {{_name: {criterion}, label_smoothing: 0.1}}
model: {{_name: {arch}, encoder_layers: 4, share_all_embeddings: true}}
"""


def hydra_train(data, folder, check=True, **choices):
    choices = {"criterion": "label_smoothed_ce_selfteach", **choices}
    (folder / "run.yaml").write_text(
        CONFIG.format(user_dir=USER_DIR, save_dir=folder / "run", data=data, **choices)
    )
    return run(
        *(sys.executable, "-m", "fairseq_cli.hydra_train", "--config-dir", folder),
        *("--config-name", "run"),
        cwd=folder,
        check=check,
    )


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hydra")
    hydra_train(data, folder, arch="transformer_selfteach_tiny")
    return folder / "run" / "checkpoint_last.pt"


def test_the_preset_is_the_architectures(data, trained):
    cfg = Checkpoint.read(trained).cfg
    assert (cfg["model"]["encoder_embed_dim"], cfg["model"]["encoder_layers"]) == (64, 4)
    assert (cfg["model"]["decoder_layers"], cfg["model"]["decoder_output_dim"]) == (2, 64)
    assert (cfg["criterion"]["encoder_layers"], cfg["criterion"]["decoder_layers"]) == ("4", "2")


def test_what_is_cut_out_loads_in_stock_fairseq(data, trained, tmp_path):
    cut = tmp_path / "cut.pt"
    selfteach("truncate", trained, "--layers", "2x1", "-o", cut)
    assert torch.load(cut, weights_only=True)["cfg"]["model"]["decoder_input_dim"] == 64
    said = fairseq("generate", data, "--path", cut, "--beam", 2, "--cpu", cwd=tmp_path).stdout
    assert said.count("\nH-") > 10


def test_an_architecture_without_students_gets_one_line(data, tmp_path):
    result = hydra_train(data, tmp_path, check=False, arch="transformer_tiny")
    assert "ValueError: --arch transformer_tiny has no students" in result.stderr
    assert not list(tmp_path.rglob("*.pt"))
