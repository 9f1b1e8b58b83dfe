"""`selfteach gradual`: stages one after the other, killed and going on."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import tiny
import torch
from conftest import ENVIRONMENT, python, selfteach
from fairseq import checkpoint_utils

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.programs import logs

SCHEDULE = ("--schedule", "4x3,3x2,2x1", "--stage-updates", "8,6", "--later", "--lr 0.005")
OPTIONS = (
    *("--arch", "transformer_selfteach_tiny", "--encoder-embed-dim", 16, "--dropout", 0.1),
    *("--encoder-ffn-embed-dim", 16, "--share-all-embeddings", "--label-smoothing", 0.1),
    *("--optimizer", "adam", "--lr", 0.01, "--lr-scheduler", "polynomial_decay"),
    *("--total-num-update", 99, "--batch-size", 12, "--cpu", "--num-workers", 0),
    *("--save-interval-updates", 2, "--keep-interval-updates", 1, "--no-epoch-checkpoints"),
    *("--no-progress-bar", "--log-format", "simple", "--log-interval", 1),
)


def gradual(data, folder, *flags, options=OPTIONS, **how):
    return selfteach("gradual", data, "--save-dir", folder, *flags, "--", *options, **how)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The folder of a schedule that was never stopped, and what it printed."""
    folder = tmp_path_factory.mktemp("gradual") / "run"
    return folder, gradual(data, folder, *SCHEDULE).stdout


def account(folder):
    return json.loads((folder / "schedule.json").read_text())["stages"]


def models(folder):
    return {path.name: Checkpoint.read(path) for path in folder.glob("model-*.pt")}


def assert_same_models(folder, other):
    found, expected = models(folder), models(other)
    assert found.keys() == expected.keys()
    for name, model in found.items():
        for key, tensor in model.weights.items():
            assert torch.equal(tensor, expected[name].weights[key]), (name, key)


def test_each_stage_is_a_run_and_each_depth_a_stock_model(whole):
    folder, output = whole
    assert "stage 2 of 2: 3x2 layers, teaching its first 2x1" in output
    assert output.splitlines()[-1] == str(folder / "model-2x1.pt")
    depths = {name: str(s.layers) for name, s in models(folder).items()}
    assert depths == {f"model-{depth}.pt": depth for depth in ("4x3", "3x2", "2x1")}
    for model in models(folder).values():
        assert model.settings["_name"] == "transformer"
    for entry, run, updates, rate in zip(
        account(folder), ("stage1-4x3", "stage2-3x2"), (8, 6), (0.01, 0.005), strict=True
    ):
        assert entry["updates"] == updates and entry["training_seconds"] > 0
        best = Checkpoint.read(folder / run / "checkpoint_best.pt")
        assert entry["student_nll_loss"] == best.extra["val_loss"]
        assert 0 < entry["full_nll_loss"] < 9
        assert best.cfg["optimization"]["lr"] == [rate]
        assert best.cfg["lr_scheduler"]["total_num_update"] == updates


def test_the_stages_times_add_up(whole):
    last = Checkpoint.read(whole[0] / "stage2-3x2" / "checkpoint_last.pt")
    seconds = [entry["training_seconds"] for entry in account(whole[0])]
    assert min(seconds) > 0.1
    assert sum(seconds) == pytest.approx(last.training_seconds, abs=0.2)


def test_a_stage_begins_with_the_student_of_the_stage_before(data, tmp_path):
    """Without learning the second stage ends as it began."""
    unlearning = ("--later", "--optimizer sgd --lr 0")
    gradual(data, tmp_path, "--schedule", "3,2,1", "--stage-updates", "6,1", *unlearning)
    runs = [str(tmp_path / run / "checkpoint_best.pt") for run in ("stage1-3x3", "stage2-2x2")]
    first, second = (checkpoint_utils.load_model_ensemble([run])[0][0].eval() for run in runs)
    sentences = tiny.batch()["net_input"]
    sentences |= {k: sentences[k] % 20 + 4 for k in ("src_tokens", "prev_output_tokens")}
    student = first.student(2, 2)(**sentences)[0]
    assert torch.equal(student, second(**sentences)[0])
    assert not torch.equal(student, first(**sentences)[0])


def test_killed_within_each_stage_it_goes_on_to_the_same_models(data, whole, tmp_path):
    for stage in ("stage1-4x3", "stage2-3x2"):
        process = subprocess.Popen(
            [
                *(python(), "-m", "selfteach_fairseq.cli", "gradual", str(data)),
                *("--save-dir", str(tmp_path), *SCHEDULE, "--", *map(str, OPTIONS)),
            ],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        log = tmp_path / stage / "train.log"
        while not (log.exists() and "num_updates=3," in log.read_text()):
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert "student_nll_loss" not in account(tmp_path)[-1]
    gradual(data, tmp_path, *SCHEDULE)
    assert_same_models(tmp_path, whole[0])


def test_a_finished_stage_is_not_repeated_and_a_schedule_can_grow(data, whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    before = account(folder)
    assert "teaching" not in gradual(data, folder, *SCHEDULE).stdout
    longer = ("--schedule", "4x3,3x2,2x1,last1x1", "--stage-updates", "8,6,2", *SCHEDULE[-2:])
    output = gradual(data, folder, *longer).stdout
    assert "stage 3 of 3: 2x1 layers, teaching its last1x1" in output
    assert "stage 1" not in output and account(folder)[:2] == before
    cut = models(folder)["model-last1x1.pt"]
    assert str(cut.layers) == "1x1" and str(cut.kept_layers) == "last1x1"


def refusal(data, folder, *flags, **options):
    result = gradual(data, folder, *flags, check=False, **options)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("change", ["schedule", "updates", "options", "later", "init", "data"])
def test_the_folder_of_another_schedule_is_left_alone(data, whole, trained, tmp_path, change):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    flags, options = list(SCHEDULE), OPTIONS
    if change == "schedule":
        flags[1] = "4x3,3x1,2x1"
    elif change == "updates":
        flags[3] = "8,7"
    elif change == "later":
        flags[5] = "--lr 0.006"
    elif change == "options":
        options = (*OPTIONS, "--clip-norm", 1)
    elif change == "data":
        data = shutil.copytree(data, tmp_path / "data")
        with next(data.glob("dict.*.txt")).open("a") as dictionary:
            dictionary.write("another 1\n")
    else:
        flags += ["--init", trained / "checkpoint_best.pt"]
    assert "choose another --save-dir" in refusal(data, folder, *flags, options=options)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_stage_that_could_not_begin_may_say_otherwise(data, whole, tmp_path):
    wrong = (*SCHEDULE[:-1], "--lrr 0.005")
    folder = shutil.copytree(whole[0], tmp_path / "run")
    state = json.loads((folder / "schedule.json").read_text())
    state["stages"].pop()
    (folder / "schedule.json").write_text(json.dumps(state))
    shutil.rmtree(folder / "stage2-3x2")
    (folder / "model-2x1.pt").unlink()
    gradual(data, folder, *wrong, check=False)
    assert len(account(folder)) == 2 and "updates" not in account(folder)[1]
    assert "stage 1" not in gradual(data, folder, *SCHEDULE).stdout
    assert_same_models(folder, whole[0])


@pytest.mark.parametrize(
    "option", [("--reset-optimizer",), ("--checkpoint-suffix", "x"), ("--continue-once", "x.pt")]
)
def test_what_would_end_a_later_stage_is_refused(data, tmp_path, option):
    assert option[0] in refusal(data, tmp_path / "run", *SCHEDULE, options=(*OPTIONS, *option))


@pytest.mark.parametrize("validates", [(), ("--validate-interval-updates", 2)])
def test_patience_ends_a_stage_once_its_student_stops_gaining(data, trained, tmp_path, validates):
    """From a checkpoint, without learning: the first validation is the best; all are saved."""
    idle = (*OPTIONS, "--optimizer", "sgd", "--lr", 0)
    if validates:
        idle = (*without_saves(idle), *validates)
    flags = ("--schedule", "4x3,2x1", "--patience", 2, "--init", trained / "checkpoint_best.pt")
    gradual(data, tmp_path / "run", *flags, options=idle)
    [entry] = account(tmp_path / "run")
    assert entry["updates"] == 6  # the third validation, one every two updates
    log = (tmp_path / "run" / "stage1-4x3" / "train.log").read_text()
    assert len(re.findall(r"Saved checkpoint .*@ [246] updates", log)) == 3
    given = Checkpoint.read(trained / "checkpoint_best.pt").weights
    for name, tensor in Checkpoint.read(tmp_path / "run" / "model-4x3.pt").weights.items():
        assert torch.equal(tensor, given[name])


def without_saves(options):
    """OPTIONS say when to save: these leave it to a test."""
    saves = options.index("--save-interval-updates")
    return (*options[:saves], *options[saves + 4 :])


@pytest.mark.parametrize(
    "saves",
    [
        ("--validate-interval-updates", 3),
        ("--validate-interval-updates", 4, "--save-interval-updates", 2, "--validate-interval", 9),
        (
            *("--save-interval-updates", 3, "--keep-interval-updates", 1, "--keep-last-epochs", 1),
            *("--keep-best-checkpoints", 1, "--validate-after-updates", 5),
        ),
    ],
    ids=lambda saves: saves[0] + saves[2] if len(saves) > 2 else saves[0],
)
def test_the_best_of_all_validations_is_cut(data, tmp_path, saves):
    """At such a rate the loss goes up and down."""
    options = (*without_saves(OPTIONS), "--lr", 0.3, *saves)
    gradual(data, tmp_path / "run", "--schedule", "4x3,2x1", "--stage-updates", 14, options=options)
    [entry] = account(tmp_path / "run")
    validations = logs.read(tmp_path / "run" / "stage1-4x3" / "train.log")["2x1"]
    best = min(bits for _, bits in validations)
    assert len(validations) > 3 and entry["student_nll_loss"] == best
    assert (entry["best_update"], best) in validations


def test_a_stage_that_was_never_validated_gets_one_line(data, tmp_path):
    options = (*without_saves(OPTIONS), "--validate-interval", 5, "--max-epoch", 1)
    line = refusal(data, tmp_path, "--schedule", "4,1", "--patience", 2, options=options)
    assert "stage1-4x4: has ended without a validation: lower --validate-interval" in line


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--schedule", "4x3,5x3"), "5x3 after 4x3 grows"),
        (("--schedule", "6,5,4", "--stage-updates", "3,2,1"), "the schedule has 2 stages"),
        (("--schedule", "4,3", "--later=--save-dir=x"), "--save-dir is not for fairseq-train"),
        (("--schedule", "4,3", "--init"), "has 4x3 layers: begin the schedule with these"),
        (("--schedule", "auto:4x3-2x1", "--stage-updates", "1,2,3,4", "--init"), "has 2 stages"),
        (("--schedule", "auto:4-3", "--init"), "the model has 4x3 layers, not 4x4"),
        (("--schedule", "auto:4-3"), "name the model whose layers to weigh with --init"),
    ],
)
def test_refused_before_anything_runs(data, trained, tmp_path, flags, message):
    if flags[-1] == "--init":
        flags = (*flags, trained / "checkpoint_best.pt")
    assert message in refusal(data, tmp_path / "run", *flags)
    assert not (tmp_path / "run").exists()
