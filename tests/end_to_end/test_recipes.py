"""`recipes/run.sh` and its stages, on texts and models small enough for a test."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import zipfile
from itertools import permutations
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from project import SETTINGS, kill, results, rows

ALL_BUT_THE_REPORT = ("prepare", "train", "truncate", "score")
STAGES = ("text", "subwords", "binarise", "train", "truncate", "refine", "score")


def make_wheel(path):
    """A stand-in for the pinned wheel: one component with some hundred short texts."""
    words = ["on", "off", "open", "close", "up", "down", "lamp", "door", "heat", "cold"]
    texts = [f"{a} the {b} in {c}" for a in words for b in words for c in words if a < b]
    with zipfile.ZipFile(path, "w") as wheel:
        for language, change in (("en", str), ("it", str.upper)):
            content = json.dumps({f"k{i}": change(text) for i, text in enumerate(texts)})
            wheel.writestr(f"homeassistant/components/x/translations/{language}.json", content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def demo(project):
    """A project with a wheel of its own, and its checksum pinned."""
    script = project.folder / "recipes/corpora/homeassistant.py"
    sha256 = make_wheel(project.folder / "text.whl")
    pinned = re.sub(r'WHEEL_SHA256 = "\w+"', f'WHEEL_SHA256 = "{sha256}"', script.read_text())
    script.write_text(pinned)
    return project


def test_the_demo_from_nothing_to_the_tables(demo):
    output = demo.finish("demo", *ALL_BUT_THE_REPORT, "report", "export")
    assert [line for line in output.splitlines() if line.startswith("== ")] == [
        *("== text", "== subwords", "== binarise", "== train-selfteach-seed1"),
        *("== truncate-selfteach-seed1-3", "== truncate-selfteach-seed1-1"),
        *("== score-selfteach-seed1-3", "== score-selfteach-seed1-3.ctranslate2-int8"),
        *("== score-selfteach-seed1-1", "== score-selfteach-seed1-1.ctranslate2-int8"),
        "== export-1",
    ]
    quality, cost, fastest = rows(output)
    assert [row["engine"] for row in fastest] == ["fairseq", "CT2 int8"]
    assert [(row["system"], row["layers"], row["engine"]) for row in quality] == [
        (*("selfteach", "3x3"), "fairseq"),
        (*("selfteach", "3x3"), "CT2 int8"),
        (*("selfteach", "1x1"), "fairseq"),
        (*("selfteach", "1x1"), "CT2 int8"),
    ]
    # The last line translates a sentence with what was just made.
    last = output.splitlines()[-1]
    assert last.startswith("echo 'UP THE LAMP' | ") and last.endswith(" work/demo/export-1")
    shown = subprocess.run(
        ["bash", "-c", last], cwd=demo.folder, env=demo.environment, capture_output=True, text=True
    )
    assert shown.returncode == 0 and len(shown.stdout.splitlines()) == 1, shown
    assert cost[0]["memory"].endswith("GB") and cost[0]["speed"] == "1.00 x"
    assert output.count("\nsource ") == 10
    assert all(len(line) <= 100 for line in output.splitlines() if line.startswith("|"))
    assert "\nwork/demo/report.html: all records of the folder, with pictures\n" in output
    page = demo.folder / "work/demo/report.html"
    assert page.read_text().count("<img ") == 3  # the training curves, too

    again = demo.finish("demo", *ALL_BUT_THE_REPORT, "export")
    assert again.count("finished already, kept") == 11 and "$ " not in again
    assert again.splitlines()[-1] == last

    (demo.folder / "without").mkdir()
    (demo.folder / "without/matplotlib.py").write_text("raise ImportError")
    bare = demo.finish("demo", "report", PYTHONPATH=f"{demo.folder}/without:{ROOT}")
    assert rows(bare) == rows(output)
    assert bare.endswith("no report.html: its pictures need matplotlib (pip install matplotlib)\n")

    # A changed setting runs again what depends on it, and says so.
    demo.settings.write_text(SETTINGS.replace("updates=6", "updates=4"))
    changed = demo.finish("demo", *ALL_BUT_THE_REPORT, "export")
    assert changed.count("have changed, starts anew") == 8
    assert "== binarise: finished already, kept" in changed


@pytest.mark.slow
def test_the_demo_again_and_beside_what_one_would_do_instead(demo):
    output = demo.finish("demo", ENGINES="fairseq")
    again = demo.finish("demo", ENGINES="fairseq")
    assert again.count("finished already, kept") == 8 and "$ " not in again
    assert rows(again) == rows(output)

    compared = demo.finish("demo", METHOD="selfteach plain plain@1", ENGINES="fairseq")
    quality, _ = rows(compared)
    assert [(row["system"], row["layers"]) for row in quality] == [
        *(("selfteach", "3x3"), ("selfteach", "1x1")),
        *(("plain", "3x3"), ("plain", "1x1"), ("plain@1", "1x1")),
    ]
    assert compared.count("finished already, kept") == 8
    assert "plain@1" in (demo.folder / "work/demo/report.html").read_text()


def test_a_failing_stage_ends_the_run(project):
    with project.settings.open("a") as settings:
        settings.write("training+=(--kl-temperature 0)\n")
    output = project.finish("bitext-mine", code=1)
    assert "--kl-temperature 0.0: must be above 0" in output
    last = output.splitlines()[-1]
    assert last.startswith("== train-selfteach-seed1 failed: see ")
    assert "Traceback" in Path(last.split("see ")[1]).read_text()


@pytest.mark.slow
def test_killed_in_each_stage_the_result_is_the_same(project, survived):
    further = {"REFINE": "r3f", "REFINE_UPDATES": "6"}
    project.finish("bitext-whole", **further)
    work = project.folder / "work/bitext-killed"
    for stage in STAGES:
        process = project.start("bitext-killed", **further)
        for line in process.stdout:
            if line.startswith(f"== {stage}"):
                break
        assert next(process.stdout).startswith("$ "), stage
        folders = {"train": "selfteach-seed1", "refine": "selfteach+r3f-seed1-1"}
        if stage in folders:  # killed with a checkpoint half-way
            while not (work / folders[stage] / "checkpoint_last.pt").exists():
                assert process.poll() is None
                time.sleep(0.02)
        kill(process)
    output = project.finish("bitext-killed", **further)
    assert "== score-selfteach-seed1-3: goes on" in output
    whole = results(project.folder / "work/bitext-whole")
    killed = results(work)
    assert len(whole) > 40 and whole.keys() == killed.keys()
    assert [name for name in whole if whole[name] != killed[name]] == []
    survived("SIGKILL in each stage of a recipe", len(STAGES))


def test_a_cut_student_is_refined_and_scored_beside_the_others(project):
    stages = ("prepare", "train", "truncate", "refine", "score", "report")
    output = project.finish("bitext-mine", *stages, REFINE_UPDATES="4")
    quality, cost = rows(output)
    refined = [f"selfteach+{way}" for way in ("plain", "r3f", "intra-distillation")]
    assert [(row["system"], row["layers"]) for row in quality] == [
        *(("selfteach", "3x3"), ("selfteach", "1x1")),
        *((system, "1x1") for system in refined),
    ]
    assert all(row["training"] != "-" and row["memory"] != "-" for row in cost)
    assert all(len(line) <= 100 for line in output.splitlines() if line.startswith("|"))

    work = project.folder / "work/bitext-mine"
    cut = {s: torch.load(work / f"{s}-seed1-1.pt") for s in ("selfteach", *refined)}
    for system, other in permutations(cut, 2):  # each has moved, and elsewhere
        weights = cut[system]["model"]
        assert any((weights[n] != w).any() for n, w in cut[other]["model"].items())
    last = torch.load(work / "selfteach+r3f-seed1-1/checkpoint_last.pt")
    own = seconds_of(last) - seconds_of(cut["selfteach"])
    costs = [work / f"{name}-seed1{end}" for name, end in (("selfteach", ""), (refined[1], "-1"))]
    spent = [json.loads((path / "cost.json").read_text())["training_seconds"] for path in costs]
    assert spent[1] == pytest.approx(own) and own > 0
    record = json.loads((work / "selfteach+r3f-seed1-1.json").read_text())
    assert record["training_seconds"] == pytest.approx(sum(spent))


def seconds_of(checkpoint):
    return checkpoint["extra_state"]["previous_training_time"]


def test_a_second_run_in_the_same_folder_is_refused(project):
    first = project.start("bitext-mine")
    for line in first.stdout:
        if line.startswith("== binarise"):
            break
    os.killpg(first.pid, signal.SIGSTOP)
    assert "another run is at binarise in" in project.finish("bitext-mine", code=1)
    kill(first)


def test_seeds_workers_and_averaging(project):
    options = {"SEEDS": "1 2", "NPROC_PER_NODE": "2", "AVERAGE": "0 2"}
    project.settings.write_text(SETTINGS.replace("--max-update", "--max-epoch 3 --max-update"))
    project.finish("bitext-mine", "prepare", "train", "truncate", **options)
    work = project.folder / "work/bitext-mine"
    log = (work / "logs/train-selfteach-seed1.log").read_text()
    assert "'distributed_world_size': 2" in log
    assert "mean of 2 checkpoints" in (work / "logs/average-selfteach-seed2.log").read_text()
    cut = {path.name for path in work.glob("*-[0-9].pt")}
    assert cut == {
        f"{system}-seed{seed}-{depth}.pt"
        for system in ("selfteach", "selfteach+average")
        for seed in (1, 2)
        for depth in (3, 1)
    }
    assert len({(work / name).read_bytes() for name in cut}) == len(cut)


def test_a_second_test_set(project):
    last_lines = """
    text=(bash -c '"$@" && cd "${@: -1}" && for x in xx en; do tail -n 5 valid.$x >test1.$x; done'
        text "${text[@]}")
    """
    project.settings.write_text(SETTINGS + last_lines)
    project.finish("bitext-mine", *ALL_BUT_THE_REPORT, "report")
    options = {"TEST_SET": "test1", "LENPENS": "1"}
    output = project.finish("bitext-mine", *ALL_BUT_THE_REPORT, "report", **options)
    assert "== score-selfteach-seed1-3-tuned-test1" in output and output.count(": finished") == 6
    work = project.folder / "work/bitext-mine"
    record = json.loads((work / "tuned-test1/selfteach-seed1-3.json").read_text())
    assert record["subset"] == "test1" and record["sentences"] == 5
    assert json.loads((work / "selfteach-seed1-3.json").read_text())["subset"] == "test"
    assert (work / "report-test1.md").read_text() != (work / "report.md").read_text()


def test_summaries_and_students_of_other_layers(project):
    """Documents are cut, and counted; a student of last layers has rows of its own."""
    options = {"METHOD": "selfteach plain", "STUDENTS": "1 last1", "LONGEST": "6"}
    output = project.finish("summarise-mine", **options)
    assert re.search(r"test\.document: [1-9]\d* lines are cut to 6 pieces", output)
    work = project.folder / "work/summarise-mine"
    assert max(len(x.split()) for x in (work / "pieces/train.document").open()) == 6
    assert max(len(x.split()) for x in (work / "text/train.document").open()) > 6
    quality, *_ = rows(output)
    assert [(row["system"], row["layers"]) for row in quality] == [
        (system, layers)
        for system in ("selfteach", "plain")
        for layers in ("3x3", "1x1", "last1x1")
    ]
    assert all(float(row["ROUGE-L"]) >= 0 and float(row["ROUGE-2"]) >= 0 for row in quality)
    cut = {
        depth: torch.load(work / f"selfteach-seed1-{depth}.pt", weights_only=True)["model"]
        for depth in ("3", "1", "last1")
    }
    for depth, layer in (("1", 0), ("last1", 2)):
        for name in ("fc1.weight", "self_attn.q_proj.bias"):
            kept = cut[depth][f"encoder.layers.0.{name}"]
            assert torch.equal(kept, cut["3"][f"encoder.layers.{layer}.{name}"])


def test_summaries_of_debians_descriptions(project, tmp_path):
    with open(tmp_path / "dump", "w") as out:
        for number in range(200):
            long = "\n ".join(f"{word} a{number} ab ba" for word in "abcdefgh")
            out.write(f"Package: p{number}\nDescription-en: ab a{number} ba\n {long}\n\n")
    options = {
        "METHOD": "selfteach=last1",
        "STUDENTS": "2",
        "DUMP": str(tmp_path / "dump"),
        "TYPES": "30",
    }
    output = project.finish("debian-summaries", LONGEST="20", **options)
    assert re.search(r"train\.document: 1\d\d lines are cut to 20 pieces", output)
    quality, *_ = rows(output)
    assert [row["layers"] for row in quality] == ["3x3", "last1x1"] and "ROUGE-L" in quality[0]


@pytest.mark.slow
def test_two_machines(project):
    project.finish("bitext-mine", "prepare")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    machines = [
        project.start(
            "bitext-mine",
            *("train",),
            **{"NNODES": "2", "NODE_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
        )
        for rank in ("0", "1")
    ]
    outputs = [machine.communicate()[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], outputs
    quality, _ = rows(project.finish("bitext-mine", "truncate", "score", "report"))
    assert len(quality) == 2
    logs = project.folder / "work/bitext-mine/logs"
    assert "'distributed_world_size': 2" in (logs / "train-selfteach-seed1.log").read_text()


REFUSED = [
    ("french", {}, "'french' is no corpus: name demo, iwslt14-de, "),
    ("iwslt14-fr", {}, "'iwslt14-fr' is no pair of IWSLT14: name "),
    ("bitext-", {}, "give your text a name"),
    ("bitext-mine", {"SRC": ""}, "say both SRC= and TGT=, or TSV="),
    ("bitext-mine", {"SRC": "", "TGT": ""}, "say SRC= and TGT=, or TSV=, the training text"),
    ("bitext-mine", {"TSV": "none.tsv"}, "none.tsv: no such file"),
    ("bitext-mine", {"SOURCE_LANG": "", "SRC": ROOT / "LICENSE"}, "say SOURCE_LANG="),
    ("bitext-mine", {"PRECISION": "fp8"}, "PRECISION=fp8: choose fp32, fp16 or bf16"),
    ("bitext-mine", {"PRECISION": "bf16"}, "PRECISION=bf16 needs a GPU"),
    ("bitext-mine", {"METHOD": "magic"}, "METHOD=magic: there is no recipes/methods/magic.flags"),
    ("bitext-mine", {"WORK": "a,b"}, "WORK=a,b: to fairseq or the shell"),
    ("bitext-mine", {"SETTINGS": ""}, "there is no GPU, and on a CPU bitext-mine trains for days"),
]


@pytest.mark.parametrize(("corpus", "environment", "message"), REFUSED)
def test_what_cannot_work_is_refused_in_one_line(project, corpus, environment, message):
    environment = {name: str(value) for name, value in environment.items()}
    output = project.finish(corpus, "train", code=1, **environment)
    assert output.count("\n") == 1 and message in output


def test_a_stage_before_its_time(project):
    output = project.finish("bitext-mine", "truncate", code=1)
    assert "needs what train-selfteach-seed1 makes, which has not been run to its end" in output


def test_too_large_a_vocabulary(project):
    output = project.finish("bitext-mine", "prepare", code=1, TYPES="5000")
    assert re.search(r"TYPES=5000: Vocabulary size too high .* <= \d+", output)
