"""recipes/refinements.py: what goes on from which cut model, for how long, at which rate."""

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "recipes"))

import check
import refinements
import settings
from settings import Machine


@pytest.fixture
def read(monkeypatch):
    def read(corpus="multi30k-de", **environment):
        for name in ("METHOD", "SEEDS", "LAYERS", "STUDENTS", "SETTINGS", "WORK", "LENPENS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return settings.read(corpus)

    return read


def columns(found, *names):
    return [tuple(one.columns()[name] for name in names) for one in found]


def test_without_the_setting_there_is_none(read):
    assert refinements.refinements_of(read()) == []


def test_by_default_the_smallest_student_at_a_tenth(read):
    found = refinements.refinements_of(read(METHOD="selfteach", STUDENTS="4x2 2 3", REFINE="all"))
    names = ("system", "start", "depth", "updates", "rate")
    assert columns(found, *names) == [
        (f"selfteach+{way}", "selfteach-seed1-2", "2", "360", "0.0004") for way in refinements.ALL
    ]


def test_depths_are_found_however_they_are_written(read):
    wanted = {"REFINE": "r3f", "REFINE_DEPTHS": "2x2 4", "REFINE_UPDATES": "7", "SEEDS": "1 5"}
    found = refinements.refinements_of(read(METHOD="selfteach plain@2", **wanted))
    assert columns(found, "start", "checkpoint", "updates") == [
        ("selfteach-seed1-4", "selfteach+r3f-seed1-4/checkpoint_best.pt", "7"),
        ("selfteach-seed1-2", "selfteach+r3f-seed1-2/checkpoint_best.pt", "7"),
        ("selfteach-seed5-4", "selfteach+r3f-seed5-4/checkpoint_best.pt", "7"),
        ("selfteach-seed5-2", "selfteach+r3f-seed5-2/checkpoint_best.pt", "7"),
        ("plain@2-seed1-2", "plain@2+r3f-seed1-2/checkpoint_best.pt", "7"),
        ("plain@2-seed5-2", "plain@2+r3f-seed5-2/checkpoint_best.pt", "7"),
    ]


def test_students_of_as_many_layers_are_told_apart(read):
    wanted = {"REFINE": "r3f", "REFINE_DEPTHS": "last2", "STUDENTS": "2 last2x2"}
    found = refinements.refinements_of(read(METHOD="selfteach", **wanted))
    assert columns(found, "start", "keep") == [
        ("selfteach-seed1-last2x2", "--layers 2 --made-of last2x2")
    ]


def test_the_learning_rate_that_wins_in_training(read):
    found = read()
    for words, rate in ((("--lr", "1", "--lr", "2e-3"), "0.0002"), (("--lr=5e-4",), "5e-05")):
        assert refinements.learning_rate(found._replace(training=words)) == rate


FAULTY = [
    ({"REFINE": "magic"}, "REFINE=magic: there is no recipes/refine/magic.flags"),
    ({"REFINE": "../methods/plain"}, "REFINE=../methods/plain: there is no recipes/refine/"),
    ({"REFINE_DEPTHS": "two"}, "REFINE_DEPTHS: 'two' is no "),
    ({"REFINE_DEPTHS": "7"}, "REFINE_DEPTHS: no model of 7 layers is cut out: name one of 4 3 2"),
    ({"REFINE_UPDATES": "-1"}, "REFINE_UPDATES: '-1' is no number"),
    ({"REFINE_UPDATES": "0"}, "REFINE_UPDATES: '0' is no number above 0"),
    ({"corpus": "iwslt14-de"}, "REFINE_UPDATES: say how many updates, for the training has no"),
]


@pytest.mark.parametrize(("environment", "message"), FAULTY)
def test_what_is_wrong_is_said_with_the_rest(read, environment, message):
    (fault,) = check.faults(read(**{"REFINE": "r3f", **environment}), Machine())
    assert fault.startswith(message)


@pytest.mark.parametrize("words", [(), ("--lr", "[1e-3,1e-4]")])
def test_a_training_without_one_learning_rate(read, words):
    (fault,) = check.faults(read(REFINE="r3f")._replace(training=words), Machine())
    assert fault.startswith("REFINE: a tenth of the training's learning rate: write one number")


def test_a_number_of_updates_that_is_none_is_said_once(read):
    (fault,) = check.faults(read(REFINE="r3f")._replace(updates="many"), Machine())
    assert fault == "updates: 'many' is no number"


@pytest.mark.parametrize(
    "line",
    [
        *("cut: every other layer", "text: translated by the teacher", "--teacher {teacher}"),
        *("--student-layers {students}", "--validate-after-updates {75%}"),
    ],
)
def test_what_only_a_method_can_say_is_refused(read, monkeypatch, tmp_path, line):
    """It would be left out, or reach fairseq-train as it stands."""
    (tmp_path / "refine").mkdir()
    (tmp_path / "refine/own.flags").write_text(f"--criterion r3f_translation\n{line}\n")
    found = read(REFINE="own")
    monkeypatch.setattr(refinements, "RECIPES", tmp_path)
    (fault,) = check.faults(found, Machine())
    assert fault.startswith("REFINE=own: 'cut:', 'text:', {students}, {teacher} and ")
    assert "leave them out of recipes/refine/own.flags" in fault
