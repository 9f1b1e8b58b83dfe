"""A stage's command line: fairseq keeps the best of what it saves, so every validation is saved."""

import pytest

from selfteach_fairseq.gradual.stage import stages_of
from selfteach_fairseq.layers import Layers

DEPTHS = [Layers.first(4, 4), Layers.first(3, 3), Layers.first(2, 2)]


def saves(*options, later=(), updates=None):
    stages = stages_of(DEPTHS, updates, 5, list(map(str, options)), list(map(str, later)))
    return [stage.saves() for stage in stages]


def test_checkpoints_are_saved_at_every_validation():
    assert saves() == [[], []]  # both at the end of every epoch
    every = ["--save-interval-updates", "100", "--keep-interval-updates", "1"]
    assert saves("--validate-interval-updates", 100) == [every, every]
    assert saves(later=["--validate-interval-updates=100"]) == [[], every]
    assert saves("--validate-interval-updates", 0) == [[], []]


@pytest.mark.parametrize(
    "options",
    [
        ("--validate-interval-updates", 100, "--save-interval-updates", 50),
        ("--save-interval-updates", 70),  # fairseq validates wherever it saves within an epoch
        ("--validate-interval", 4, "--save-interval", 2),
        ("--validate-interval", 4),
    ],
)
def test_saving_more_often_is_left_to_the_user(options):
    assert saves(*options) == [[], []]


@pytest.mark.parametrize(
    "options, message",
    [
        (("--save-interval", 2), "--save-interval 2: .* one every 1 .* leave it out"),
        (("--save-interval", 2, "--validate-interval", 3), "--save-interval 2: .* one every 3"),
        (("--save-interval", 0), "--save-interval 0: "),
        (
            ("--validate-interval-updates", 100, "--save-interval-updates", 200),
            "--save-interval-updates 200: .* one every 100 .*let it divide that",
        ),
        (
            ("--validate-interval-updates", 100, "--save-interval-updates=0"),
            "--save-interval-updates 0: ",
        ),
        (("--validate-interval-updates", "x"), "--validate-interval-updates x: must be a number"),
        (("--log-format", "json"), "--log-format json: the schedule reads simple ones"),
        (("--validate-after-updates", 60), "--validate-after-updates 60: a stage of 50 updates"),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_what_would_not_save_the_best_is_refused(options, message, later):
    where = {"later": options} if later else {}
    with pytest.raises(ValueError, match=message):
        saves(*(() if later else options), updates=[50], **where)
