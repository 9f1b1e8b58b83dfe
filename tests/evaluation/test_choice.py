"""Which model is the fastest within a loss, and which ones others beat: expectations by hand."""

import json

import pytest
import scored

from selfteach_fairseq.cli import main
from selfteach_fairseq.evaluation import choice
from selfteach_fairseq.evaluation.choice import Candidate
from selfteach_fairseq.evaluation.groups import Model

INT8 = scored.ENGINES[2]


def record(system, layers, bleu, speed, seed="1", **fields):
    return {
        **scored.RECORD,
        **{"system": system, "encoder_layers": layers, "decoder_layers": layers, "seed": seed},
        **{"bleu": bleu, "sentences_per_second": speed, **fields},
    }


def candidates(**figures):
    return [Candidate(Model(name, "2x2", ""), *values) for name, values in figures.items()]


@pytest.mark.parametrize(
    "least, expected",
    [
        *((39, None), (38, "full"), (37.5, "full"), (37.4, "fast"), (36, "good"), (0, "good")),
    ],
)
def test_the_fastest_that_is_good_enough(least, expected):
    """Of equally fast ones it is the best, of equal ones the first."""
    several = candidates(
        full=(38, 45),
        fast=(37.4, 70),
        slow=(37.4, 60),
        bad=(36, 90),
        good=(36.5, 90),
        same=(36.5, 90),
    )
    found = choice.fastest(several, least)
    assert (found and found.model.system) == expected


def test_dominated_is_what_another_one_beats():
    several = candidates(
        full=(38, 45),
        as_good_but_slower=(38, 44),
        as_fast_but_worse=(37, 45),
        worse_and_slower=(37, 44),
        faster=(37.5, 70),
        the_same_as_faster=(37.5, 70),  # neither beats the other
        fastest=(30, 71),
    )
    assert [one.model.system for one in choice.dominated(several)] == [
        *("as_good_but_slower", "as_fast_but_worse", "worse_and_slower")
    ]
    assert choice.dominated(several[:1]) == choice.dominated([]) == []


def test_the_means_over_the_seeds_decide():
    """a is within 0.5 with one seed and not on average, b the other way round."""
    records = [
        *(record("full", 4, bleu, 50, seed) for bleu, seed in ((38, "1"), (39, "2"))),
        *(record("a", 2, bleu, 200, seed) for bleu, seed in ((38, "1"), (37.9, "2"))),
        *(
            record("b", 2, bleu, speed, seed)
            for bleu, speed, seed in ((37.4, 90, 1), (38.6, 110, 2))
        ),
    ]
    found = choice.choose(records, 0.5)
    assert found.least == 38
    assert found.answer == (
        "On a CPU, threads 2, the fastest within 0.5 BLEU of full 4x4 is b 2x2: -0.50 BLEU, 2.00 "
        "times as fast."
    )
    assert found.by_engine == []
    assert found.dominated == ["in fairseq: none"]


def test_rounding_of_means_hides_no_tie():
    """0.1 + 0.2 is not 0.3 for a computer, but a loss of 0.5 is one of 0.5."""
    records = [
        *(record("full", 4, bleu, 50, seed) for bleu, seed in ((37.7, 1), (37.9, 2), (38.1, 3))),
        *(record("a", 2, bleu, 60, seed) for bleu, seed in ((37.2, 1), (37.4, 2), (37.6, 3))),
    ]
    assert "is a 2x2: -0.50 BLEU" in choice.choose(records, 0.5).answer
    assert "is a 2x2" not in choice.choose(records, 0.49).answer


def test_nothing_but_the_full_model():
    alone = [record("full", 4, 38, 50)]
    for records in (alone, [*alone, record("a", 2, 37.4, 90), record("b", 3, 38, 49)]):
        found = choice.choose(records, 0.5)
        assert found.answer == (
            "On a CPU, threads 2, none is faster than full 4x4 within 0.5 BLEU of it."
        )
        dominated = "none" if records == alone else "b 3x3"
        assert found.dominated == [f"in fairseq: {dominated}"]


def test_each_engine_against_the_first_model():
    """In int8 no model is good enough; all in fairseq but the full one are beaten there."""
    records = [
        *(record("full", 4, 38, 50), record("full", 2, 37.6, 70), record("b", 2, 37.5, 65)),
        *(record("full", 4, 37.4, 120, **INT8), record("full", 2, 37.3, 220, **INT8)),
    ]
    found = choice.choose(records, 0.5)
    assert found.answer.endswith(
        "of full 4x4 fairseq is full 2x2 fairseq: -0.40 BLEU, 1.40 times as fast."
    )
    assert [[*row.values()] for row in found.by_engine] == [
        ["fairseq", "full 2x2", "37.6", "-0.40", "70", "1.40 x"],
        ["CT2 int8", "none", "-", "-", "-", "-"],
    ]
    assert found.dominated == [
        "in fairseq: b 2x2",
        "in CT2 int8: none",
        "over all engines: all but full 4x4 fairseq, full 2x2 fairseq, full 4x4 CT2 int8, "
        "full 2x2 CT2 int8",
    ]


def test_engines_of_which_none_is_dominated():
    records = [record("full", 4, 38, 50), record("full", 4, 37.9, 120, **INT8)]
    lines = ["in fairseq: none", "in CT2 int8: none", "over all engines: none"]
    assert choice.choose(records, 0.5).dominated == lines


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"hardware": "a GPU"}, "a CPU, threads 2 (full 4x4); a GPU (a 2x2)"),
        ({"threads": 4}, "a CPU, threads 4 (a 2x2 fairseq, threads 4)"),
    ],
)
def test_speeds_of_other_conditions_are_refused(tmp_path, capsys, fields, told):
    paths = [str(tmp_path / name) for name in ("full", "a")]
    for path, one in zip(
        paths, (record("full", 4, 38, 50), record("a", 2, 37, 70, **fields)), strict=True
    ):
        (tmp_path / path).write_text(json.dumps(one))
    assert main(["report", *paths, "--within", "1"]) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == "" and "--within: speeds of different" in line and told in line
    assert main(["report", *paths]) == 0  # the tables alone say so in their own way


def test_beams_may_be_compared_and_are_named():
    records = [record("full", 4, 38, 50, beam=5), record("full", 4, 37.6, 150, beam=1)]
    assert choice.choose(records, 0.5).answer.endswith(
        "of full 4x4 fairseq, beam 5 is full 4x4 fairseq, beam 1: -0.40 BLEU, 3.00 times as fast."
    )


@pytest.mark.parametrize("word", ["", "-1", "nan", "inf", "half", "1,5"])
def test_a_loss_that_is_none(tmp_path, capsys, word):
    path = scored.write_record(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(path), f"--within={word}"])
    assert stopped.value.code == 2
    assert f"'{word}': must be a number from 0, such as 0.5" in capsys.readouterr().err


def test_a_speed_of_nothing(tmp_path, capsys):
    """A base without speed gives no ratio."""
    records = [record("full", 4, 38, 0), record("a", 2, 38, 50)]
    found = choice.choose(records, 0)
    assert found.answer.endswith("within 0 BLEU of full 4x4 is a 2x2: +0.00 BLEU.")
    assert found.dominated == ["in fairseq: full 4x4"]
