"""`recipes/run.sh iwslt14-*` from a miniature of the release to the tables."""

import csv
import re
import subprocess

import miniature
import pytest
from conftest import ROOT
from project import rows

OTHERS = [language for language in miniature.LANGUAGES if language != "de"]


@pytest.mark.parametrize(
    "language", ["de", *(pytest.param(language, marks=pytest.mark.slow) for language in OTHERS)]
)
def test_a_pair_of_iwslt14(project, language):
    corpus = f"iwslt14-{language}"
    work = project.folder / "work" / corpus
    output = project.finish(corpus)
    quality, _, published = rows(output)
    assert [row["layers"] for row in quality] == ["3x3", "1x1"]
    assert {row["pair"] for row in published} == {language}
    assert rows((work / "report.md").read_text()) == rows(output)
    with open(work / "report.csv", newline="") as file:
        full, student = csv.DictReader(file)
    assert full["system"] == student["system"] == "selfteach" and full["corpus"] == corpus
    assert full["seed"] == "1" and full["source"] == language
    assert "case:mixed" in full["bleu_signature"] and "case:lc" in full["bleu_lc_signature"]
    assert float(full["peak_memory_bytes"]) > 1e7 and full["peak_memory_of"] == "resident set"
    tests = 10 if language == "de" else 8
    assert len((work / "selfteach-seed1-1.hyp.txt").read_text().splitlines()) == 2 * tests
    logs = {path.name for path in (work / "logs").iterdir()}
    assert {"text.log", "binarise.log", "train-selfteach-seed1.log"} < logs


@pytest.mark.parametrize("language", OTHERS)
def test_the_text_of_the_other_pairs(project, language):
    project.finish(f"iwslt14-{language}", "prepare")
    work = project.folder / "work" / f"iwslt14-{language}"
    for side in (language, "en"):
        assert len((work / f"text/test.{side}").read_text().splitlines()) == 16
        assert (work / f"data/train.{language}-en.{side}.bin").stat().st_size > 0


def test_without_a_network_the_way_out_is_named(project):
    proxies = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    options = {"IWSLT14_ARCHIVE": "", **proxies}
    output = project.finish("iwslt14-fa", "prepare", code=1, **options)
    assert re.search(r"cannot download .*; set IWSLT14_ARCHIVE to a copy of 2014-01.tgz", output)
    assert "Traceback" not in output


def test_the_plan_of_all_pairs():
    plan = subprocess.run(["make", "-n", "iwslt14"], cwd=ROOT, capture_output=True, text=True)
    for language in miniature.LANGUAGES:
        command = f"recipes/run.sh iwslt14-{language} prepare train truncate score report"
        assert command in plan.stdout
