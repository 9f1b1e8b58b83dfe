import re

import pytest

from selfteach_fairseq.layers import Layers, layers_of_metric, parse_students

DEPTH = Layers.first(6, 4)


def test_a_number_means_as_many_layers_on_both_sides():
    assert parse_students("3") == (Layers.first(3, 3),)
    expected = (Layers.first(6, 3), Layers.first(4, 4), Layers.first(2, 1))
    assert parse_students("6x3, 4,2x1") == expected
    assert str(Layers.parse("6x3")) == "6x3"


@pytest.mark.parametrize(
    "spec, name, encoder, decoder",
    [
        ("3", "3x3", [0, 1, 2], [0, 1, 2]),
        ("6x1", "6x1", [0, 1, 2, 3, 4, 5], [0]),
        ("last3x3", "last3x3", [3, 4, 5], [0, 1, 2]),
        ("last2", "last2x2", [4, 5], [0, 1]),
        ("0+2+4x0+2", "0+2+4x0+2", [0, 2, 4], [0, 2]),
        ("1+3", "1+3x1+3", [1, 3], [1, 3]),
        ("+4x2", "+4x2", [4], [0, 1]),
        ("0+1+2x+0", "3x1", [0, 1, 2], [0]),  # written another way
    ],
)
def test_every_choice_has_one_name_and_its_numbers(spec, name, encoder, decoder):
    layers = Layers.parse(spec)
    assert str(layers) == name and Layers.parse(name) == layers
    numbers = layers.within(DEPTH)
    assert [*numbers["encoder"]] == encoder and [*numbers["decoder"]] == decoder
    assert layers.counts == (len(encoder), len(decoder))
    first = [*range(len(encoder))], [*range(len(decoder))]
    assert layers.are_first == ((encoder, decoder) == first)
    assert re.fullmatch("[a-z0-9_]+", layers.metric)
    assert layers_of_metric(layers.metric) == layers


@pytest.mark.parametrize("spec, numbers", [("3", [0, 1, 2]), ("last2", [4, 5]), ("0+5", [0, 5])])
def test_a_model_may_have_an_encoder_only(spec, numbers):
    layers = Layers.parse(spec, encoder_only=True)
    assert str(layers) == spec and layers.counts == (len(numbers),)
    assert {side: [*kept] for side, kept in layers.within(Layers.first(6, None)).items()} == {
        "encoder": numbers
    }
    assert layers.are_first == (spec == "3")
    with pytest.raises(ValueError, match="no choice of layers"):
        Layers.parse("3x3", encoder_only=True)
    with pytest.raises(ValueError, match="not of the model's sides"):
        Layers.parse(spec).within(Layers.first(6, None))


@pytest.mark.parametrize(
    "spec",
    [
        *("", "3x", "x3", "3x3x3", "-1", "3.5", "3,,2", "three", "٣x1x", "٣", "last", "lastx3"),
        *("3last", "LAST3", "0++2", "0+", "+", "3 x 3", "12345", "first3", "last0+2"),
    ],
)
def test_anything_else_is_refused(spec):
    with pytest.raises(ValueError, match="no choice of layers"):
        parse_students(spec)


@pytest.mark.parametrize("spec", ["2+0", "0+0", "1x3+1"])
def test_numbers_must_rise(spec):
    with pytest.raises(ValueError, match="in rising order"):
        Layers.parse(spec)


@pytest.mark.parametrize("numbers", [[], [0, 4], [-1, 0], [1, 1], [2, 1]])
def test_numbers_must_be_there(numbers):
    with pytest.raises(ValueError, match="has 4 encoder layers, 0 to 3"):
        Layers.of(numbers, [0]).within(Layers.first(4, 3))


def test_a_decoder_keeps_no_last_layers():
    with pytest.raises(ValueError, match="first layers"):
        Layers.parse("3xlast3")


def test_a_student_named_twice_is_refused():
    with pytest.raises(ValueError, match="2x2 more than once"):
        parse_students("2,3,2x2")
    with pytest.raises(ValueError, match="2x1 more than once"):
        parse_students("2x1,0+1x+0")


@pytest.mark.parametrize("student", ["0", "0x1", "5x1", "1x4", "last5x1", "last0x1"])
def test_a_student_must_be_part_of_the_model(student):
    with pytest.raises(ValueError, match="choose 1 to"):
        Layers.parse(student).within(Layers.first(4, 3))
    Layers.first(4, 3).within(Layers.first(4, 3))
    with pytest.raises(ValueError, match="has 4 encoder layers, 0 to 3"):
        Layers.parse("0+4x1").within(Layers.first(4, 3))


@pytest.mark.parametrize(
    "name", ["nll_loss", "student_nll_loss", "student_3x3_ppl", "kl", "student_a_nll_loss"]
)
def test_other_metrics_are_no_students(name):
    assert layers_of_metric(name) is None
