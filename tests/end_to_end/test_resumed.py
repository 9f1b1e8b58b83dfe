"""Invariant 6: killed and resumed is never killed, bit for bit."""

import os
import re
import shutil

import pytest
import torch
from conftest import train
from exact import assert_same, last

FLAGS = (
    *("--student-layers", "2x1,last3x3,1", "--student-sampling", 1, "--alpha-start-update", 3),
    *("--alpha-warmup-updates", 20, "--dropout", 0.1, "--batch-size", 10, "--max-epoch", 3),
    *("--save-interval-updates", 5, "--log-interval", 1, "--patience", 9),
)
# What depends on the clock, not on the training.
TIMES = ("wps", "ups", "wall", "train_wall", "gb_free")


def figures(log):
    """The logged figures, in order, by what they are of: an update, an epoch, a validation."""
    found = {}
    for kind, line in re.findall(r"\| (train_inner|train|valid) \| (.*)", log):
        words = re.findall(r"(\w+)[= ]([-\d.e]+)", line)
        pairs = {name: value for name, value in words if name not in TIMES}
        for name in [name for name in pairs if re.fullmatch(r"student_\w+_ppl", name)]:
            del pairs[name]  # from the NLL; not shown again until the student is drawn
        found[kind, pairs["num_updates"]] = pairs
    return found


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The folder and the log of a run that is never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(data, folder, *FLAGS, "--keep-interval-updates", -1).stdout


@pytest.mark.parametrize("stop", ["1_5", "2_20", "3_35"])
def test_a_run_that_goes_on_is_the_run_that_never_stopped(data, whole, tmp_path, stop):
    """12 updates an epoch: from within each of them."""
    folder, log = whole
    shutil.copy(folder / f"checkpoint_{stop}.pt", tmp_path / "checkpoint_last.pt")
    resumed = train(data, tmp_path, *FLAGS).stdout
    assert_same(last(tmp_path), last(folder))
    expected, found = figures(log), figures(resumed)
    assert ("valid", "36") in found and len(found) < len(expected)
    assert found == {key: expected[key] for key in found}


def test_a_task_that_draws_other_text_for_each_epoch(data, tmp_path):
    """Its batches are cut anew for each epoch: those of the first fit no other."""
    flags = ("--task", "translation_multi_simple_epoch", "--lang-pairs", "xx-en")
    flags += (
        "--max-tokens",
        60,
        "--sampling-method",
        "temperature",
        "--virtual-epoch-size",
        60,
        "--max-epoch",
        3,
    )
    flags += ("--student-layers", "2x1", "--dropout", 0, "--log-interval", 1, "--save-interval", 1)
    log = train(data, tmp_path / "whole", *flags).stdout
    train(data, tmp_path / "cut", *flags, "--max-epoch", 2)
    resumed = train(data, tmp_path / "cut", *flags).stdout
    expected, found = figures(log), figures(resumed)
    assert found and found == {key: expected[key] for key in found}
    assert_same(last(tmp_path / "cut"), last(tmp_path / "whole"))


def test_at_the_end_of_an_epoch(data, whole, tmp_path):
    folder, log = whole
    train(data, tmp_path, *FLAGS, "--max-epoch", 1)
    resumed = train(data, tmp_path, *FLAGS).stdout
    assert_same(last(tmp_path), last(folder))
    expected, found = figures(log), figures(resumed)
    assert found == {key: expected[key] for key in found}


def test_a_training_that_has_ended_does_not_go_on(data, tmp_path):
    """fairseq would train one update more, and stop only then."""
    train(data, tmp_path, *FLAGS, "--max-update", 3)
    before = (tmp_path / "checkpoint_last.pt").read_bytes()
    assert "has come to its end" in train(data, tmp_path, *FLAGS, "--max-update", 3).stdout
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == before
    train(data, tmp_path, *FLAGS, "--max-update", 4)
    assert last(tmp_path)["optimizer_history"][-1]["num_updates"] == 4


def test_without_the_optimizers_state_it_still_knows_its_end(data, tmp_path):
    """fairseq would count from 0 again, and train as many updates once more."""
    flags = (*FLAGS, "--no-save-optimizer-state")
    train(data, tmp_path, *flags, "--max-update", 3)
    before = (tmp_path / "checkpoint_last.pt").read_bytes()
    assert "has come to its end" in train(data, tmp_path, *flags, "--max-update", 3).stdout
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == before
    log = train(data, tmp_path, *flags, "--max-update", 4).stdout
    assert "has no optimizer's state (--no-save-optimizer-state): after 3 updates, the" in log
    assert last(tmp_path)["optimizer_history"][-1]["num_updates"] == 4


def test_patience_is_not_renewed_by_a_restart(data, tmp_path):
    """Without learning there is no gain: the third validation is the second one in vain."""
    flags = ("--student-layers", 2, "--optimizer", "sgd", "--lr", 0, "--patience", 2)
    train(data, tmp_path, *flags, "--max-epoch", 2)
    log = train(data, tmp_path, *flags, "--max-epoch", 5).stdout
    assert "early stop since valid performance hasn't improved for last 2 runs" in log
    assert last(tmp_path)["extra_state"]["train_iterator"]["epoch"] == 4  # the next one

    before = (tmp_path / "checkpoint_last.pt").read_bytes()
    assert "has come to its end" in train(data, tmp_path, *flags, "--max-epoch", 9).stdout
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == before

    fresh = train(
        *(data, tmp_path / "fresh", *flags, "--max-epoch", 2),
        *("--finetune-from-model", tmp_path / "checkpoint_last.pt"),
    )
    assert "early stop" not in fresh.stdout


def test_another_metric_has_no_best_yet(data, tmp_path):
    """BLEU is compared with no loss: two more validations are the first one and one in vain."""
    flags = ("--student-layers", 2, "--optimizer", "sgd", "--lr", 0, "--patience", 2)
    train(data, tmp_path, *flags, "--max-epoch", 2)
    bleu = ("--task", "translation_selfteach", "--eval-bleu", "--eval-bleu-args", '{"beam": 1}')
    best = (*bleu, "--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric")
    log = train(data, tmp_path, *flags, *best, "--max-epoch", 4).stdout
    assert "its best is the least loss: here the best is sought anew" in log
    assert "early stop" not in log
    state = last(tmp_path)["extra_state"]
    assert state["early_stopping"]["num_runs"] == 1 and state["best"] < 5  # BLEU, not bits


@pytest.mark.parametrize("torn", [b"", b"half", None], ids=["empty", "text", "half"])
def test_of_a_torn_file_the_newest_good_one_takes_the_place(data, whole, tmp_path, torn):
    folder, _ = whole
    for name in ("checkpoint_1_5.pt", "checkpoint_2_20.pt"):
        shutil.copy(folder / name, tmp_path)
    content = (folder / "checkpoint_last.pt").read_bytes()
    (tmp_path / "checkpoint_3_30.pt").write_bytes(content[: len(content) // 3])
    (tmp_path / "checkpoint_last.pt").write_bytes(
        content[: len(content) // 2] if torn is None else torn
    )
    log = train(data, tmp_path, *FLAGS).stdout
    assert "copy it again. Going on from checkpoint_2_20.pt" in log
    assert_same(last(tmp_path), last(folder))


def test_a_suffix_is_no_reason_to_die_of_a_torn_file(data, whole, tmp_path):
    shutil.copy(whole[0] / "checkpoint_2_20.pt", tmp_path / "checkpoint_2_20-job7.pt")
    (tmp_path / "checkpoint_last-job7.pt").write_bytes(b"half")
    log = train(data, tmp_path, *FLAGS, "--checkpoint-suffix=-job7").stdout
    assert "copy it again. Going on from checkpoint_2_20-job7.pt" in log
    shutil.copy(tmp_path / "checkpoint_last-job7.pt", tmp_path / "checkpoint_last.pt")
    assert_same(last(tmp_path), last(whole[0]))


def test_without_a_good_file_there_is_one_line(data, tmp_path):
    (tmp_path / "checkpoint_last.pt").write_bytes(b"")
    result = train(data, tmp_path, *FLAGS, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("copy it again, or remove it to start anew")
    assert "Traceback" not in result.stderr


class Foreign:
    """Pickled, it asks whoever unpickles it to make a folder."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def last_line_of_a_refusal(data, folder, *flags):
    result = train(data, folder, *FLAGS, *flags, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


def test_a_foreign_file_to_go_on_from_runs_no_code(data, whole, tmp_path):
    content = torch.load(whole[0] / "checkpoint_last.pt", weights_only=True)
    canary, folder = tmp_path / "canary", tmp_path / "run"
    folder.mkdir()
    torch.save({**content, "extra_state": Foreign(canary)}, folder / "checkpoint_last.pt")
    assert "more than plain data (posix.mkdir)" in last_line_of_a_refusal(data, folder)
    restored = ("--restore-file", folder / "checkpoint_last.pt")
    assert "(posix.mkdir)" in last_line_of_a_refusal(data, tmp_path / "other", *restored)
    continued = ("--continue-once", folder / "checkpoint_last.pt")
    assert "(posix.mkdir)" in last_line_of_a_refusal(data, tmp_path / "fourth", *continued)
    fine_tuned = ("--finetune-from-model", folder / "checkpoint_last.pt")
    assert "(posix.mkdir)" in last_line_of_a_refusal(data, tmp_path / "third", *fine_tuned)
    assert not canary.exists()


def test_an_optimizer_of_another_shape_gets_one_line(data, whole, tmp_path):
    state = torch.load(whole[0] / "checkpoint_last.pt", weights_only=True)
    state["last_optimizer_state"]["state"][0]["exp_avg"] = torch.zeros(3)
    torch.save(state, tmp_path / "checkpoint_last.pt")
    assert "its optimizer's exp_avg is (3,), not (" in last_line_of_a_refusal(data, tmp_path)


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--encoder-ffn-embed-dim", 24), "does not fit this training (.*size mismatch"),
        (("--decoder-layers", 2), "does not fit this training (.*Unexpected key"),
        (("--optimizer", "sgd"), "does not fit this training (Optimizer does not match"),
    ],
)
def test_a_checkpoint_of_another_training_gets_one_line(data, whole, tmp_path, flags, message):
    shutil.copy(whole[0] / "checkpoint_last.pt", tmp_path)
    line = last_line_of_a_refusal(data, tmp_path, *flags, "--student-layers", "1")
    assert re.search(message.replace("(", r"\("), line) and line.endswith("another --save-dir")
