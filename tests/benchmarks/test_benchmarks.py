"""The benchmarks compare what they say, and their tables what was measured."""

import inspect
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import decoding
import run as bench
import shapes
import speeds
import tables
import updates
from fairseq.trainer import Trainer
from variants import FLAGS, build

SMALL = shapes.Shape("small", 16, 24, 40, 64)


def gradients(variant):
    task = shapes.task(SMALL)
    torch.manual_seed(1)
    _, model, criterion = build(variant, SMALL, task, "--dropout", 0)
    loss, _, _ = criterion(model.train(), shapes.batch(SMALL))
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in model.named_parameters()}


def test_the_unfused_loss_is_the_same_loss():
    loss, found = gradients("student 3x3, un-fused")
    expected_loss, expected = gradients("student 3x3")
    torch.testing.assert_close(loss, expected_loss)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_the_teacher_of_distillation_is_deeper_and_does_not_learn():
    _, model, criterion = build("word-level distillation", SMALL, shapes.task(SMALL))
    teacher = criterion.teacher.beside(model)
    assert (len(model.encoder.layers), len(teacher.encoder.layers)) == (3, 6)
    criterion(model, shapes.batch(SMALL))[0].backward()
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())
    assert not list(criterion.parameters())


@pytest.mark.parametrize("variant", FLAGS)
def test_every_variant_trains(variant):
    seconds = updates.times(SMALL, [variant])
    assert len(seconds[variant]) == updates.UPDATES and min(seconds[variant]) > 0


def test_only_what_learns_is_timed():
    torch.manual_seed(1)
    shape = shapes.Shape("saturated by fairseq's own learning rate", 128, 256, 1000, 64)
    assert updates.times(shape, ["plain"])
    with pytest.raises(ValueError, match=r"^plain: its loss has not fallen, 1\d\.\d+ to 1\d"):
        updates.times(shape, ["plain"], "--lr", 0.25, "--lr-scheduler", "fixed")


def test_the_peak_of_gpu_memory_is_not_what_is_left_after_an_update(monkeypatch):
    """With a stand-in for the GPU's allocator; on a GPU: tests/end_to_end/test_gpu.py."""
    resident = peak = 3

    def reset():
        nonlocal peak
        peak = resident

    def allocate_and_free(size):
        nonlocal peak
        peak = max(peak, resident + size)

    def update():
        allocate_and_free(5)
        torch.cuda.reset_peak_memory_stats()  # as fairseq's train_step does in the end

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: peak)
    allocate_and_free(9)  # before: does not count
    assert updates.most_allocated(update) == 8
    update()
    assert peak == 3  # from then on it is as before
    # fairseq looks the function up when it calls it, so that it can be replaced.
    assert "torch.cuda.reset_peak_memory_stats()" in inspect.getsource(Trainer)


def test_decoding_takes_every_model_in_every_engine():
    seconds = decoding.times(SMALL, 2, beam=1)
    assert list(seconds) == [
        (model, *engine)
        for model in ("6x6", "3x3", "6x2", "6x1")
        for engine in (("fairseq", "fp32"), ("CTranslate2", "fp32"), ("CTranslate2", "int8"))
    ]
    assert {len(values) for values in seconds.values()} == {decoding.SEARCHES}


@pytest.mark.parametrize("beam", (1, 5))
def test_both_engines_search_as_many_steps_of_the_same_model(beam):
    torch.manual_seed(1)
    found = decoding.searches(SMALL, 2, beam)
    symbols = shapes.task(SMALL).target_dictionary
    for model in decoding.MODELS:
        ours, theirs = (found[model, engine, "fp32"]() for engine in ("fairseq", "CTranslate2"))
        assert [len(tokens) for tokens in (*ours, *theirs)] == [25] * 4
        assert {tokens[-1].item() for tokens in ours} == {symbols.eos()}
        if beam == 1:  # beyond that </s>, which fairseq scores, chooses another of the beam
            assert [[symbols[i] for i in tokens[:-1]] for tokens in ours] == [
                tokens[:-1] for tokens in theirs
            ]


def test_only_translations_of_one_length_are_timed(monkeypatch):
    monkeypatch.setattr(decoding, "in_ctranslate2", lambda *_: lambda: [["a"] * 25, ["a"] * 24])
    with pytest.raises(ValueError, match=r"translations without 25 tokens$"):
        decoding.times(SMALL, 2, beam=1)


@pytest.mark.slow
def test_two_workers_are_measured(tmp_path):
    found = bench.Bench(tmp_path / "rows.csv", threads=2)
    found.time("workers", SMALL, ["student 3x3"], workers=2, threads=1)
    found.memory("workers", SMALL, ["plain"])
    time, memory = tables.read(found.path)
    assert (time["workers"], time["unit"], time["count"]) == ("2", "s", "10")
    assert (time["threads"], memory["threads"]) == ("1", "2")
    assert memory["median"] > 1  # MB


def test_goals_are_held_against_the_bound_of_the_machine(tmp_path):
    found = bench.Bench(tmp_path / "rows.csv", threads=2)
    medians = {"plain": 2.0, "student 3x3": 2.15, "student 3x3, un-fused": 3.0, "alpha 0": 1.8}
    medians["word-level distillation"] = 2.3
    for name in ("iwslt", tables.LARGE):
        for variant, value in medians.items():
            for measure, unit in (("update", "s"), ("peak memory", "MB")):
                found.write("cost", measure, variant, SMALL._replace(name=name), 1, unit, [value])
    rows = tables.read(found.path)
    lines = tables.goals(rows).splitlines()
    assert "| student 3x3 / plain, time | <= 1.10 | 1.07 | met |" in lines
    assert "| the same, memory | <= 1.05 | 1.07 | missed |" in lines
    assert "| one run / teacher's and student's | <= 0.60 | 0.50 | met |" in lines
    assert "| iwslt | student 3x3 | 2.150 s | 1.07 | 2 MB | 1.07 |" in tables.costs(rows)


def test_speeds_are_held_against_their_goals_and_drawn(tmp_path):
    found = bench.Bench(tmp_path / "rows.csv", threads=1)
    seconds = {"6x6": 18.0, "3x3": 10.0, "6x2": 9.0, "6x1": 6.0}
    engines = {("fairseq", "fp32"): 1, ("CTranslate2", "fp32"): 2, ("CTranslate2", "int8"): 3}
    for batch in (1, 64):
        for model, value in seconds.items():
            for (engine, precision), times in engines.items():
                more = {"engine": engine, "precision": precision, "batch": batch, "beam": 5}
                values = [value / times]
                found.write("decoding", "decoding", model, SMALL, 1, "processor s", values, **more)
    for variant, value in (("plain", 2.0), ("student 6x2", 2.2)):
        found.write("cost", "update", variant, SMALL, 1, "processor s", [value])
    lines = speeds.report(found.path).splitlines()
    assert "| 6x2 in int8 / 6x6 in fairseq, batch 64 | >= 8.00 | 6.00 | missed |" in lines
    assert "| 6x2 / 6x6, both in int8, batch 1 | >= 1.90 | 2.00 | met |" in lines
    assert "| 3x3 / 6x6, both in fairseq, batch 64 | >= 1.70 | 1.80 | met |" in lines
    assert "| 64 | 5 | 3x3 | 6.40 (1.80) | 12.80 (3.60) | 19.20 (5.40) |" in lines
    assert "| student 6x2 | 2.200 processor s | 1.10 |" in lines
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_decoding_is_measured_in_a_process_of_its_own(tmp_path):
    found = bench.Bench(tmp_path / "rows.csv", threads=1)
    found.decoding(SMALL, 2, beam=5)
    rows = tables.read(found.path)
    assert [row["ctranslate2"] != "" for row in rows[:3]] == [False, True, True]
    assert {(r["batch"], r["beam"], r["threads"], r["unit"]) for r in rows} == {
        ("2", "5", "1", "processor s")
    }


@pytest.mark.parametrize("name", ("cpu", "gpu"))
def test_rows_of_earlier_measurements_are_read(name):
    rows = tables.read(Path(tables.__file__).parent / "results" / f"{name}.csv")
    assert tables.median(rows, axis="cost", measure="update", variant="plain", name="iwslt") > 0
