"""The pictures show the numbers: read back from what is drawn."""

from statistics import stdev

import numpy as np
import pytest
from scored import ENGINES, RECORD

from selfteach_fairseq import pictures
from selfteach_fairseq.report import plots
from selfteach_fairseq.report.curves import Run

STYLE = plots.styles(["selfteach", "plain"])


def record(system="selfteach", layers=4, **fields):
    return {
        **RECORD,
        "system": system,
        "encoder_layers": layers,
        "decoder_layers": layers,
        **fields,
    }


def texts(figure):
    """All that is written on a figure's axes and in its legends."""
    (axes,) = figure.axes
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in axes.texts], legends


def test_a_line_for_each_system_and_bars_where_there_are_seeds():
    records = [
        *(record(bleu=bleu) for bleu in (30, 31, 34)),
        *(record(layers=2, bleu=29), record("plain", bleu=28)),
    ]
    (axes,) = plots.layers(records, STYLE).axes
    ours, plain = axes.containers
    assert ours.lines[0].get_xydata() == pytest.approx(np.array([[3.97, 29], [7.97, 95 / 3]]))
    assert plain.lines[0].get_xydata() == pytest.approx(np.array([[8.03, 28]]))
    without, bar = ours.lines[2][0].get_segments()
    assert len(without) == 0 or without[0][1] != without[0][1]  # not a number: not drawn
    assert bar[1][1] - bar[0][1] == pytest.approx(2 * stdev([30, 31, 34]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2x2", "4x4"]
    assert axes.get_ylabel() == "BLEU" and "layers" in axes.get_xlabel()


def test_depths_of_one_sum_share_their_place():
    records = [record(), record(encoder_layers=6, decoder_layers=2)]
    (axes,) = plots.layers(records, STYLE).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4x4\n6x2"]


def test_what_is_far_below_is_named_at_the_foot():
    records = [record(bleu=38), record(layers=2, bleu=37), record("plain", layers=2, bleu=5.6)]
    for draw in (plots.layers, plots.speed):
        figure = draw(records, STYLE)
        bottom, top = figure.axes[0].get_ylim()
        assert (bottom, top) == pytest.approx((36.3, 38.5))
        assert "↓ plain 2x2: 5.6" in texts(figure)[0]


def test_a_marker_is_as_large_as_the_model_and_named():
    records = [
        *(record(sentences_per_second=speed) for speed in (50, 60)),
        record(layers=2, parameters=500_000, sentences_per_second=110),
    ]
    figure = plots.speed(records, STYLE)
    (axes,) = figure.axes
    markers = next(marks for marks in axes.collections if len(marks.get_offsets()) == 2)
    assert markers.get_offsets().tolist() == [[55, 30.5], [110, 30.5]]
    large, small = markers.get_sizes()
    assert large == pytest.approx(4 * small)
    notes, legend = texts(figure)
    assert notes == ["selfteach 4x4", "selfteach 2x2"]
    assert legend == ["0.50 M parameters", "2.00 M parameters"]
    assert "sentences per second" in axes.get_xlabel()


def test_names_do_not_cover_each_other():
    records = [
        record(system, layers, bleu=30 + layers / 50, sentences_per_second=50 + layers)
        for system in ("selfteach", "plain")
        for layers in (2, 3, 4)
    ]
    figure = plots.speed(records, STYLE)
    figure.draw_without_rendering()
    boxes = [note.get_window_extent() for note in figure.axes[0].texts]
    assert len(boxes) == 6
    assert sum(box.count_overlaps(boxes) for box in boxes) == 6  # each with itself alone


def test_many_models_are_named_in_the_legend():
    records = [
        record(system, layers) for system in ("selfteach", "plain") for layers in range(1, 6)
    ]
    notes, legend = texts(plots.speed(records, STYLE))
    assert notes == [] and legend == ["selfteach", "plain", "2.00 M parameters"]


def in_engines(*systems):
    return [
        record(system, layers, bleu=30 + layers - i, sentences_per_second=50 * (i + 1) / layers)
        | engine
        for system in systems
        for layers in (4, 2)
        for i, engine in enumerate(ENGINES)
    ]


def test_engines_are_markers_and_systems_colours():
    records = in_engines("selfteach", "plain")
    figure = plots.speed(records, STYLE, least=31)
    (axes,) = figure.axes
    notes, legend = texts(figure)
    assert sorted(notes) == ["2x2"] * 6 + ["4x4"] * 6
    assert [text for text in legend if text.strip()] == [
        *("selfteach", "plain", "fairseq", "CT2 float32", "CT2 int8", "2.00 M parameters")
    ]
    drawn = [marks for marks in axes.collections if len(marks.get_offsets()) == 2]
    looks = [
        (tuple(marks.get_facecolor()[0]), len(marks.get_paths()[0].vertices)) for marks in drawn
    ]
    assert len({*looks}) == 6
    assert len({colour for colour, _ in looks}) == 2 and len({shape for _, shape in looks}) == 3
    (line,) = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert line.get_ydata() == [31, 31]


def test_layers_are_drawn_of_one_engine():
    (axes,) = plots.layers(in_engines("plain"), STYLE).axes
    (plain,) = axes.containers
    assert [y for _, y in plain.lines[0].get_xydata()] == [32, 34]  # fairseq's
    assert plots.engine_of_layers(in_engines("plain")) == "fairseq"
    assert plots.engine_of_layers([record() | ENGINES[2], record() | ENGINES[1]]) == "CT2 int8"
    assert plots.engine_of_layers([record()]) == ""


def test_names_in_one_engine_do_not_repeat_it():
    figure = plots.speed([record(layers=n) | ENGINES[2] for n in (2, 4)], STYLE)
    assert sorted(texts(figure)[0]) == ["selfteach 2x2", "selfteach 4x4"]


def test_a_curve_for_each_model_and_seed():
    runs = [
        *(Run("selfteach", s, {"full": [(1, 4), (2, 3)], "2x2": [(1, 5), (2, 4)]}) for s in "12"),
        Run("plain", "1", {"full": [(1, 6)]}),
    ]
    figure = plots.training(runs, STYLE)
    lines = figure.axes[0].get_lines()
    assert [line.get_xydata().tolist() for line in lines[:2]] == [
        *([[1, 4], [2, 3]], [[1, 5], [2, 4]])
    ]
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-", "--", "-"]
    assert [line.get_color() == lines[0].get_color() for line in lines] == [True] * 4 + [False]
    assert texts(figure)[1] == ["selfteach, full model", "selfteach, 2x2", "plain, full model"]


def test_styles_differ():
    assert len(set(plots.styles(map(str, range(49))).values())) == 49


@pytest.mark.parametrize(
    "fields",
    [
        {"system": r"$\frac{$ _^ & <b>"},
        *({"system": system} for system in ("_hidden", "%s {0}", "-" * 10_000, "文", "")),
        {"bleu": 0, "sentences_per_second": 0, "parameters": 0, "encoder_layers": 0},
        {"bleu": 2**62, "sentences_per_second": 2**62, "parameters": 2**62},
        {"bleu": 1e-300, "encoder_layers": 1e-9},
        {"system": "_$", "bleu": 0, **ENGINES[1]},
    ],
)
def test_any_record_can_be_drawn(tmp_path, fields):
    records = [record(**fields), record(bleu=30)]
    system = records[0]["system"]
    style = plots.styles([system, "selfteach"])
    runs = [Run(system, "1", {"full": [(1, 2), (1e14, 1e14)], "9999x9999": [(0, 0)]})]
    for name, figure in {
        "layers": plots.layers(records, style),
        "speed": plots.speed(records, style),
        "training": plots.training(runs, style),
    }.items():
        pictures.save(figure, tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
