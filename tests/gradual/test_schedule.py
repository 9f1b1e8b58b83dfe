"""Which depths a schedule goes through."""

import re

import pytest

from selfteach_fairseq.gradual.schedule import parse_schedule


def depths(spec, importance=None):
    return ",".join(map(str, parse_schedule(spec, importance)))


@pytest.mark.parametrize(
    "spec, expected",
    [
        ("6,5,3", "6x6,5x5,3x3"),
        ("6x6,6x4,6x3", "6x6,6x4,6x3"),
        ("6,last4,0+2+3x0+2", "6x6,last4x4,0+2+3x0+2"),
        ("single:6-3", "6x6,5x5,4x4,3x3"),
        ("single:6x4-4x3", "6x4,5x4,4x3"),
        ("halving:12-3", "12x12,6x6,3x3"),
        ("halving:7-2", "7x7,3x3,2x2"),
        ("halving:12x6-3x3", "12x6,6x6,3x3"),
        ("decreasing:12-3", "12x12,7x7,5x5,4x4,3x3"),
        ("decreasing:6x6-6x2", "6x6,6x4,6x3,6x2"),
    ],
)
def test_forms(spec, expected):
    assert depths(spec) == expected


@pytest.mark.parametrize(
    "spec, message",
    [
        ("6", "one depth only"),
        ("", "no choice of layers"),
        ("6,x", "no choice of layers"),
        ("6,7", "7x7 after 6x6 grows"),
        ("6x6,5x7", "5x7 after 6x6 grows"),
        ("6,5,5", "5x5 stands twice in a row"),
        ("2,0", "0x0 leaves no layer"),
        ("last6,3", "begins with last6x6, which is no whole model"),
        ("6,4,last4", "last4x4 after 4x4 cuts nothing"),
        ("6,4,0+4x0+4", "has 4 encoder layers, 0 to 3"),
        ("halving:3-6", "6x6 after 3x3 grows"),
        ("single:3-3", "3x3 stands twice in a row"),
        ("auto:3-0", "0x0 leaves no layer"),
        ("thirds:6-2", "no choice of layers"),
    ],
)
def test_what_is_no_schedule_is_refused(spec, message):
    with pytest.raises(
        ValueError, match=f"^--schedule {re.escape(spec)}: .*{message}.*: write 6,5,4,3"
    ):
        parse_schedule(spec)


def importance(encoder, decoder):
    return lambda: {
        (side, number): value
        for side, values in (("encoder", encoder), ("decoder", decoder))
        for number, value in enumerate(values, start=1)
    }


def test_auto_cuts_weighty_layers_alone_and_light_ones_together():
    # From the top: 1 and 2 together, then 4, the most of all, and so on.
    given = importance([9, 9, 4, 2, 1.5, 0.5], [9, 9, 1, 1, 1, 1])
    assert depths("auto:6x6-2x6", given) == "6x6,3x6,2x6"
    # Of equal importance: one by one.
    assert depths("auto:6x6-6x3", given) == "6x6,6x5,6x4,6x3"
    # The side with fewer steps waits.
    assert depths("auto:6-3", given) == "6x6,6x5,4x4,3x3"


def test_what_is_kept_does_not_count():
    given = importance([9, 9, 9, 1, 1, 1], [9, 9, 9, 3, 2, 1])
    assert depths("auto:6x6-3x3", given) == "6x6,5x6,4x4,3x3"
