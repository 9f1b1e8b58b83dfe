"""Training logs: what counts when a training was interrupted, and what is no figure of one."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import validation, write_log

from selfteach_fairseq.programs import logs
from selfteach_fairseq.report import curves

ANEW = "2026-11-24 08:11:01 | INFO | fairseq.trainer | No existing checkpoint found a/b.pt\n"
RESUMED = (
    "2026-11-24 08:11:01 | INFO | fairseq.trainer | Loaded checkpoint a/b.pt "
    "(epoch 3 @ {} updates)\n"
)
LINE = validation(100, nll_loss=3.4, student_2x2_nll_loss=3.6)
HALVES = {"full": [(100, 3.4)], "2x2": [(100, 3.6)]}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "train-plain-seed1.log"


def test_the_full_model_and_its_students(log):
    log.write_text(
        LINE + validation(200, nll_loss=3, student_2x2_nll_loss=3.25, student_1x2_nll_loss=4)
    )
    assert logs.read(log) == {
        "full": [(100, 3.4), (200, 3)],
        "2x2": [(100, 3.6), (200, 3.25)],
        "1x2": [(200, 4)],
    }


def test_what_was_done_again_after_an_interruption_counts(log):
    first = [validation(update, nll_loss=5) for update in (100, 200, 300)]
    again = [RESUMED.format(150), validation(200, nll_loss=4), validation(250, nll_loss=3)]
    log.write_text("".join(first + again))
    assert logs.read(log) == {"full": [(100, 5), (200, 4), (250, 3)]}


def test_a_training_that_started_anew_has_nothing_of_the_one_before(log):
    first = [validation(update, nll_loss=5) for update in (100, 200)]
    log.write_text("".join([*first, ANEW, validation(150, nll_loss=4)]))
    assert logs.read(log) == {"full": [(150, 4)]}
    log.write_text("".join([*first, ANEW]))
    assert logs.read(log) == {}


def test_students_of_an_encoder_have_one_number(log):
    log.write_text(validation(200, nll_loss=3, student_2_nll_loss=4, student_2_accuracy=70))
    assert logs.read(log) == {"full": [(200, 3)], "2": [(200, 4)]}
    assert logs.read(log, "accuracy") == {"2": [(200, 70)]}


@pytest.mark.parametrize(
    "line",
    [
        *("\n", "| valid | epoch \n", "x" * 200_000 + "\n"),
        *(LINE.replace("| valid | epoch", f"| {other} | epoch") for other in ("train", "valid1")),
        *(LINE.replace("num_updates 100", f"num_updates {n}") for n in ("", "nan", "1e400", "-1")),
        *(
            validation(200, nll_loss=3)[:-1],
            LINE[: LINE.index("num_updates")] + "\n",
            LINE[:-2] + LINE,
        ),
        validation(200, nll_loss="nan", student_2x2_nll_loss="inf"),
        validation(200, nll_loss="-1", student_2x2_nll_loss="9" * 10_000),
        validation(200, nll_loss="3,4", student_2x_nll_loss=3, student_axb_nll_loss=3),
    ],
)
def test_a_line_that_is_no_figure_is_passed_over(log, line):
    log.write_text(LINE + line)
    assert logs.read(log) == HALVES
    if line.endswith("\n"):
        log.write_text(line + LINE)
        assert logs.read(log) == HALVES


def test_a_loss_that_is_no_number_leaves_the_others(log):
    log.write_text(validation(100, nll_loss="nan", student_2x2_nll_loss=3.6))
    assert logs.read(log) == {"2x2": [(100, 3.6)]}


def test_a_log_that_is_not_utf_8(log):
    log.write_bytes(b"\xff\xfe\0" + LINE.encode() + b"\x80\n" + LINE.encode())
    assert logs.read(log) == HALVES


@given(st.data())
def test_any_log_gives_numbers_in_order(tmp_path_factory, data):
    log = tmp_path_factory.getbasetemp() / "any.log"
    whole = (LINE + ANEW + LINE + RESUMED.format(50) + validation(200, nll_loss=3)).encode()
    start, length = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 40))
    log.write_bytes(whole[:start] + data.draw(st.binary(max_size=40)) + whole[start + length :])
    for points in logs.read(log).values():
        updates = [update for update, _ in points]
        assert points and updates == sorted(set(updates))
        assert all(math.isfinite(number) and number >= 0 for point in points for number in point)


def test_the_runs_of_a_folder(tmp_path):
    assert curves.runs(tmp_path) == []
    for name in ("plain-seed1", "plain@2-seed10", "stage1"):
        write_log(tmp_path, name)
    (tmp_path / "logs/train-empty-seed1.log").write_text("")
    (tmp_path / "logs/train-folder-seed1.log").mkdir()
    found = [(run.system, run.seed) for run in curves.runs(tmp_path)]
    assert found == [("plain", "1"), ("plain@2", "10"), ("stage1", "")]
    assert all(len(run.curves["full"]) == 8 for run in curves.runs(tmp_path))


def test_of_a_gradual_schedule_each_depth_has_one_curve(tmp_path):
    """As a student first, and then on its own; updates are counted through the stages."""
    folder = tmp_path / "gradual-seed1"
    stages = [("3x3", "2x2", 200), ("2x2", "1x1", 100)]
    for number, (full, student, _) in enumerate(stages, start=1):
        run = folder / f"stage{number}-{full}"
        run.mkdir(parents=True)
        losses = {"nll_loss": 4 - number, f"student_{student}_nll_loss": 5 - number}
        (run / "train.log").write_text(validation(100, **losses))
    entries = [{"full": full, "student": s, "updates": u} for full, s, u in stages]
    account = {"version": 1, "init_sha256": None, "stages": entries}
    (folder / "schedule.json").write_text(json.dumps(account))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/train-gradual-seed1.log").write_text(validation(100, nll_loss=9))
    (run,) = curves.runs(tmp_path)
    assert run.curves == {
        "full": [(100, 3)],
        "2x2": [(100, 4), (300, 2)],
        "1x1": [(300, 3)],
    }
    further = tmp_path / "tuned"
    further.mkdir()
    (further / "logs").symlink_to("../logs")
    assert curves.runs(further) == [run]
    for stages in ([{"full": "../3"}], [{"full": 3}], [{"full": "3", "updates": "1"}], [3], None):
        (folder / "schedule.json").write_text(json.dumps({**account, "stages": stages}))
        with pytest.raises(ValueError, match="is no account"):
            curves.runs(tmp_path)
