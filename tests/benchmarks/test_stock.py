"""The comparison with stock fairseq: its commands, and what it reads off their rounds."""

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import shapes
import stock
import training

SMALL = stock.Shape(3000, 16, 64)


def parsed(variant):
    """fairseq's configuration for a variant's command; the package is imported already."""
    words = [str(word) for word in (*SMALL.flags(), *stock.VARIANTS[variant])]
    if "--user-dir" in words:
        del words[words.index("--user-dir") : words.index("--user-dir") + 2]
    return shapes.settings(*words)


def test_stock_is_stock():
    cfg = parsed("stock")
    names = cfg.model._name, cfg.criterion._name, cfg.optimizer._name
    assert names == ("transformer", "label_smoothed_cross_entropy", "adam")


@pytest.mark.parametrize("variant", stock.VARIANTS)
def test_every_variant_is_a_command_of_fairseq(variant):
    cfg = parsed(variant)
    depth = int(variant[-1]) if variant.startswith("word-level") else 6
    assert (int(cfg.model.encoder_layers), int(cfg.model.decoder_layers)) == (6, depth)
    assert bool(getattr(cfg.model, "stock_update", False)) == variant.endswith("--stock-update")


def test_a_command_is_timed_and_its_memory_read(data, monkeypatch):
    monkeypatch.setattr(training, "UPDATES", 1)
    flags = (*SMALL.flags(), *stock.VARIANTS["6x3"], "--max-update", training.WARM_UP + 1)
    found = training.train(data, (*flags, "--no-save"), threads=1)
    assert 0 < float(found["seconds"]) < 60 and 100 < float(found["MB"]) < 5000
    with pytest.raises(RuntimeError, match="no-such-criterion"):
        training.train(data, (*flags, "--criterion", "no-such-criterion"), threads=1)


def test_rounds_are_compared_one_by_one():
    seconds = {"stock": 2, "6x3": 3, "6x3,6x2,6x1": 4, "6x3,6x2,6x1, a teacher of 6x6": 5}
    seconds |= {"word-level 6x3": 3, "word-level 6x2": 2, "word-level 6x1": 1}
    rows = [
        {"round": str(number), "variant": variant, "seconds": str(s * slow), "threads": "1"}
        for number, slow in enumerate((1, 10))
        for variant, s in seconds.items()
    ]
    rows.append({"round": "2", "variant": "6x3", "seconds": "9", "threads": "1"})  # no stock yet
    rows.append({"round": "0", "variant": "6x3", "seconds": "1", "threads": "2"})
    found = stock.ratios(rows, "seconds", threads=1)
    assert found["6x3"] == [1.5, 1.5]
    assert found["all four at once"] == [4 / 8, 4 / 8]
    assert found["stock 6x6, then the three of it at once"] == [7 / 8, 7 / 8]
    assert "3x3" not in found


def test_what_has_been_measured_is_not_measured_again(tmp_path, monkeypatch):
    rows = stock.Rows(tmp_path / "stock.csv")
    row = {**SMALL._asdict(), "threads": 2, "round": 3, "variant": "6x3"}
    rows.add(**row, seconds="1.5", MB="600")
    again = stock.Rows(tmp_path / "stock.csv")
    assert again.has(**row) and not again.has(**{**row, "round": 4})
    monkeypatch.setattr(stock, "hardware", lambda: "another machine, 1 thread")
    with pytest.raises(SystemExit, match="has rows of other code or of another machine: move it"):
        stock.Rows(tmp_path / "stock.csv")


def test_a_round_has_its_processors_for_itself(tmp_path, monkeypatch):
    """However long rounds take: the first one is slower than all the others."""
    busy, taken = set(), []

    def train(data, flags, threads, **environment):
        mine = os.sched_getaffinity(0)
        taken.append((threads, len(mine), bool(busy & mine)))
        busy.update(mine)
        time.sleep(0.3 if sum(one[0] == threads for one in taken) == 1 else 0.01)
        busy.difference_update(mine)
        return {"seconds": "1", "MB": "1"}

    monkeypatch.setattr(stock, "train", train)
    monkeypatch.setattr(stock, "SHAPES", [SMALL])
    monkeypatch.setattr(stock, "types_of", lambda data: SMALL.types)
    monkeypatch.setattr(stock, "VARIANTS", {"stock": stock.VARIANTS["stock"]})
    monkeypatch.setattr(sys, "argv", ["stock.py", "data", "--out", str(tmp_path / "stock.csv")])
    whole = os.sched_getaffinity(0)
    stock.main()
    assert os.sched_getaffinity(0) == whole
    assert {row["round"] for row in stock.read(tmp_path / "stock.csv")} == set("0123456")
    assert taken and all(one == (one[0], one[0], False) for one in taken)
