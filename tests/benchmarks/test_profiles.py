"""The profile of an update: its shares, and the table of them."""

import multiprocessing
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import profiles
import stock

SMALL = stock.Shape(0, 16, 64)


def test_shares_of_an_update(data):
    flags = (*SMALL.flags(), *stock.VARIANTS["3x3"])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spent = pool.apply(profiles.shares, (data, flags, 1))
    assert sum(spent.values()) == pytest.approx(1)
    assert 0 < spent["_softmax"] < spent["matrix products"] < 1


def test_small_shares_are_summed_up():
    found = {"stock": {"a": 0.9, "b": 0.096, "c": 0.004}, "3x3": {"a": 0.992, "c": 0.008}}
    rows = profiles.table(found).splitlines()[2:]
    assert rows == ["| a | 90.0 | 99.2 |", "| b | 9.6 | 0.0 |", "| others | 0.4 | 0.8 |"]
