"""recipes/compare.sh with real commands and all of its methods, on a text of a hundred lines."""

import csv
import json

import pytest
from project import rows

pytestmark = pytest.mark.slow


def test_all_methods_are_compared(project):
    options = {"script": "compare.sh", "SEEDS": "1", "LENPENS": "0.6 1.4"}
    process = project.start("bitext-mine", **options)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    quality, cost, tested = rows(output)[-3:]
    systems = ["plain", "plain@1", "layerdrop", "word-kd@1", "seq-kd@1"]
    systems += ["r-drop", "deep-supervision", "selfteach"]
    of_both_depths = {"plain", "layerdrop", "r-drop", "deep-supervision", "selfteach"}
    expected = [(s, "3x3") for s in systems if s in of_both_depths]
    expected += [(s, "1x1") for s in systems]
    assert sorted((row["system"], row["layers"]) for row in quality) == sorted(expected)
    assert all(row["training"] != "-" and row["memory"] != "-" for row in cost)
    against = {(row["system"], row["layers"]): row["against"] for row in tested}
    assert set(against) == set(expected) - {("plain", "3x3"), ("plain@1", "1x1")}
    assert {base for (_, layers), base in against.items() if layers == "1x1"} == {"plain@1"}
    assert all(len(line) <= 100 for line in output.splitlines() if line.startswith("|"))

    work = project.folder / "work/bitext-mine"
    assert output.endswith((work / "compare.md").read_text().split("\n\n")[-1])
    with open(work / "compare.csv") as file:
        assert len(list(csv.DictReader(file))) == len(tested)
    seconds = {
        name: json.loads((work / f"{name}/cost.json").read_text())["training_seconds"]
        for name in ("plain-seed1", "translated-seed1", "seq-kd@1-seed1")
    }
    record = json.loads((work / "tuned/seq-kd@1-seed1-1.json").read_text())
    assert record["training_seconds"] == pytest.approx(sum(seconds.values()))
    assert record["lenpen_of"] == "0.6,1.4" and record["lenpen"] in (0.6, 1.4)

    process = project.start("bitext-mine", **options)
    assert "$ " not in process.communicate()[0]  # all is kept
