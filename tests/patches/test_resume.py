"""Which file fairseq is about to load, and what is put in its place if it is damaged."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from tiny import build, checkpoint_of, settings

from selfteach_fairseq.patches import resume


class Loaded(Exception):
    """What fairseq's load_checkpoint would have its trainer read."""


class Trainer(SimpleNamespace):
    def load_checkpoint(self, filename, *_, **__):
        raise Loaded(filename)


@pytest.mark.parametrize("suffix", ["", "-job7"])
@pytest.mark.parametrize("last_exists", [False, True])
@pytest.mark.parametrize(
    "option, value",
    [
        (None, None),
        ("restore_file", "other.pt"),
        ("continue_once", "other.pt"),
        ("finetune_from_model", "other.pt"),
    ],
)
def test_it_is_the_file_that_fairseq_loads(
    tmp_path, monkeypatch, option, value, last_exists, suffix
):
    monkeypatch.chdir(tmp_path)
    for name in ("other.pt", "other-job7.pt"):
        (tmp_path / name).touch()
    (tmp_path / "run").mkdir()
    if last_exists:
        (tmp_path / "run" / f"checkpoint_last{suffix}.pt").touch()
    cfg = settings().checkpoint
    cfg.save_dir = "run"
    if option:
        cfg[option] = value
    with pytest.raises(Loaded) as loaded:
        resume._fairseq_load_checkpoint(cfg, Trainer(checkpoint_suffix=suffix))
    source = resume._source(cfg, suffix)
    assert str(source.path) == str(loaded.value)
    own = str(source.path) == f"run/checkpoint_last{suffix}.pt"
    assert source.option == (None if own else f"--{option.replace('_', '-')}")


@pytest.fixture(scope="module")
def state():
    return {**checkpoint_of(build()[0]), "last_optimizer_state": {"state": {}}}


@pytest.fixture
def folder(state, tmp_path):
    """Checkpoints of two runs in one folder: the newest is another run's."""
    for i, name in enumerate(
        ("1", "_1_20", "_best-job7", "_2_30-job7", "_1_40-job70", "3", ".best_loss_4.1230-job")
    ):
        saved = {**state, "extra_state": {"order": i, "train_iterator": {"epoch": 1}}}
        torch.save(saved, tmp_path / f"checkpoint{name}.pt")
    return tmp_path


@pytest.mark.parametrize(
    "suffix, expected", [("-job7", "_2_30-job7"), ("", "3"), ("-job", ".best_loss_4.1230-job")]
)
def test_a_torn_last_file_is_replaced_by_one_of_the_same_run(folder, suffix, expected):
    last = folder / f"checkpoint_last{suffix}.pt"
    last.write_bytes(b"torn")
    resume._repair(resume._Source(last, None), suffix)
    assert last.read_bytes() == (folder / f"checkpoint{expected}.pt").read_bytes()


@pytest.mark.parametrize(
    "option, way_out",
    [
        (None, "or remove it to start anew"),
        *((o, f"or name another with {o}") for o in ("--restore-file", "--continue-once")),
        ("--finetune-from-model", "or name another with --finetune-from-model"),
    ],
)
def test_a_torn_file_without_a_sound_one(tmp_path, option, way_out):
    path = tmp_path / ("of another.pt" if option else "checkpoint_last.pt")
    path.write_bytes(b"torn")
    with pytest.raises(SystemExit, match=f"{path}: not a checkpoint, .*, {way_out}$"):
        resume._repair(resume._Source(path, option), "")


def test_no_limit_of_ours_costs_a_training(state, folder):
    """A file that may be sound is neither replaced nor to be removed."""
    last = folder / "checkpoint_last.pt"
    torch.save({**state, "extra_state": {"a": [0] * 200_000}}, last)
    before = last.read_bytes()
    with pytest.raises(SystemExit, match="holds more than 200,000 values") as error:
        resume._repair(resume._Source(last, None), "")
    assert "remove" not in str(error.value) and last.read_bytes() == before

    model = {**state["cfg"]["model"], "max_source_positions": 10**9}
    torch.save({**state, "cfg": {**state["cfg"], "model": model}}, last)
    shutil.copy(last, folder / "large.pt")
    resume._repair(resume._Source(last, None), "")  # this training has built that model
    assert last.read_bytes() == (folder / "large.pt").read_bytes()
