"""The recipes for labelled texts: from a table, and a BERT or nothing, to what labels text."""

import random
import subprocess

import berts
import pytest
from conftest import ENVIRONMENT, python
from project import rows

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint

SETTINGS = """
epochs=2 needs_gpu= longest_text=12 ship=1
if [[ $bert ]]; then students=1; else
    types=28 layers=3 students="1" model=(--arch roberta_selfteach --encoder-embed-dim 16)
    model+=(--encoder-ffn-embed-dim 24 --encoder-attention-heads 2 --max-positions 12)
fi
"""


def table(path, lines=160, pairs=False, seed=0):
    """Labels that the first word tells."""
    rng = random.Random(seed)
    with open(path, "w") as out:
        for number in range(lines):
            words = [rng.choice(["a", "b", "c", "ad"]) for _ in range(rng.randint(1, 6))]
            text = f"{' '.join(words)} x{number}"
            second = f"\t{rng.choice('abc')} y{number}" if pairs else ""
            out.write(f"{'warm' if words[0] in 'ab' else 'cold'}\t{text}{second}\n")
    return path


@pytest.fixture
def labels(project, tmp_path):
    """Runs the recipe; `given` is of the environment."""
    project.settings.write_text(SETTINGS)

    def run(*stages, code=0, **given):
        given = {"TSV": str(table(tmp_path / "table.tsv")), "HELD_OUT": "16", **given}
        output = project.finish("classify-mine", *stages, code=code, **given)
        return output, project.folder / "work/classify-mine"

    return run


def classify(folder, text):
    words = [python(), "-m", "selfteach_fairseq.cli", "classify", str(folder)]
    found = subprocess.run(words, input=text, env=ENVIRONMENT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


EVERY = "selfteach plain@1 plain distillation@1 own-heads gradual@3-2-1"


@pytest.mark.parametrize(
    "methods",
    ["selfteach plain@1 gradual@3-1", pytest.param(EVERY, marks=pytest.mark.slow)],
    ids=["some", "every"],
)
def test_a_bert_is_fine_tuned_and_cut(labels, tmp_path, methods):
    """Each method begins with its layers; what is left labels text."""
    given = {"MODEL": str(berts.write(tmp_path / "bert"))}
    stages = ("prepare", "train", "truncate", "score", "report", "export")
    output, work = labels(*stages, METHOD=methods, **given)
    quality, cost = rows(output)[-2:]
    found = [(row["system"], row["layers"]) for row in quality]
    assert ("selfteach", "3") in found and ("selfteach", "1") in found
    assert ("plain@1", "1") in found and (methods.split()[-1], "1") in found
    assert all(0 <= float(row["accuracy"]) <= 100 for row in quality)
    assert all(row["training"].endswith("min") for row in cost)
    # The pretrained model's first layer is what plain@1 begins with.
    pretrained = Checkpoint.read(work / "pretrained-1.pt")
    assert pretrained.layers.counts == (1,)
    name = "encoder.sentence_encoder.layers.0.fc1.bias"
    began = pretrained.weights[name]
    assert (began - berts.weights()["encoder.layer.0.intermediate.dense.bias"]).abs().max() == 0
    assert (
        0 < (Checkpoint.read(work / "plain@1-seed1-1.pt").weights[name] - began).abs().max() < 0.1
    )
    assert {*classify(work / "export-1", "a b\nc\n")} <= {"warm", "cold"}
    assert "lines are cut to 10 pieces" in output
    assert max(len(line.split()) for line in (work / "pieces/train.input0").open()) == 10
    again, _ = labels(*stages, METHOD=methods, **given)
    assert "train-plain@1-seed1: finished already, kept" in again and "measure.py" not in again


def test_from_scratch_and_pairs(labels, tmp_path):
    """And compared: tests of accuracy against the plain model of each size."""
    tsv = str(table(tmp_path / "pairs.tsv", pairs=True))
    given = {"TSV": tsv, "METHOD": "selfteach plain plain@1", "SEEDS": "1"}
    output, work = labels(**given, script="compare.sh")
    assert (work / "data/input1/train.bin").exists() and (work / "report.html").exists()
    quality, _, tested = rows(output)
    assert [row["layers"] for row in quality] == ["3", "1", "3", "1", "1"]
    assert [(row["system"], row["layers"], row["against"]) for row in tested] == [
        *(("selfteach", "3", "plain"), ("selfteach", "1", "plain@1")),
        ("plain", "1", "plain@1"),
    ]
    assert (work / "compare.md").read_text().count("| accuracy |") == 2


@pytest.mark.parametrize(
    "line, message",
    [
        ("warm", "0 tabs, expected one or two"),
        ("warm\t ", "has an empty text"),
        ("\ta", "has an empty label"),
        ("very warm\ta", "the label 'very warm' has a space"),
        ("warm\ta\tb", "some lines have one text and some two"),
    ],
)
def test_bad_tables_end_in_one_line(labels, tmp_path, line, message):
    tsv = table(tmp_path / "bad.tsv")
    tsv.write_text(tsv.read_text() + line + "\n")
    output, work = labels("prepare", TSV=str(tsv), code=1)
    assert message in output and not (work / "text").exists()


def test_what_the_recipe_needs(labels, tmp_path):
    for given, message in (
        ({"TSV": ""}, "say TSV="),
        ({"TSV": "/nowhere"}, "/nowhere: no such file"),
        ({"MODEL": "/nowhere"}, "MODEL=/nowhere: no such folder or zip"),
        ({"MODEL": str(tmp_path)}, "no config.json of a BERT"),
        ({"METHOD": "word-kd@1"}, "there is no recipes/classes/word-kd.flags"),
    ):
        assert message in labels(code=1, **given)[0]


def test_glue(project, tmp_path):
    glue = tmp_path / "glue"
    for name, lines in (("RTE", 60), ("CoLA", 60)):
        (glue / name).mkdir(parents=True)
        for split in ("train", "dev"):
            rng = random.Random(split)
            out = ["index\tsentence1\tsentence2\tlabel\n"] if name == "RTE" else []
            for number in range(lines):
                a, b = (f"{rng.choice('abc')} {split}{number}" for _ in range(2))
                label = rng.choice(["entailment", "not_entailment"])
                cola = f"src\t{rng.randint(0, 1)}\t*\t{a}\n"
                out.append(f"{number}\t{a}\t{b}\t{label}\n" if name == "RTE" else cola)
            (glue / name / f"{split}.tsv").write_text("".join(out))
    project.settings.write_text(SETTINGS + "epochs=1 students=1\n")
    given = {"GLUE_DIR": str(glue), "MODEL": str(berts.write(tmp_path / "bert"))}
    for task, classes in (("rte", 2), ("cola", 2)):
        output = project.finish(f"glue-{task}", **given)
        quality = rows(output)[0]
        assert [row["layers"] for row in quality] == ["3", "1"] and "MCC" in quality[0]
        work = project.folder / f"work/glue-{task}"
        assert len({*(work / "text/train.label").read_text().split()}) == classes
        assert (work / "data/input1").exists() == (task == "rte")


def test_sections_of_debian(project, tmp_path, monkeypatch):
    """A file of what apt-cache prints, by a name without a folder."""
    monkeypatch.chdir(tmp_path)
    with open("dump", "w") as out:
        for number in range(200):
            section = ("games", "net")[number % 2]
            text = f"a {'bad' if number % 2 else 'dab'} {number} abc"
            out.write(f"Package: p{number}\nSection: {section}\nDescription: {text}\n\n")
    project.settings.write_text(SETTINGS)
    project.finish("debian-sections", "prepare", DUMP="dump")
    labels = (project.folder / "work/debian-sections/text/train.label").read_text().split()
    assert {*labels} == {"games", "net"} and 120 < len(labels) < 190
