"""`recipes/demo/run.sh` on a corpus and a model small enough for a test."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, install_commands

SETTINGS = """
source=de target=en types=60 layers=3 student_layers=1 updates=6
generation=(--beam 2) longest=(--max-len-b 20) selfteaching=(--alpha 2)
model=(
    --arch transformer_selfteach_tiny --encoder-embed-dim 16 --encoder-ffn-embed-dim 16
    --share-all-embeddings
)
training=(
    --optimizer adam --lr 0.01 --label-smoothing 0.1 --max-tokens 400 --max-update "$updates"
    --required-batch-size-multiple 1 --save-interval-updates 2 --keep-interval-updates 1
)
"""


def make_wheel(path):
    """A stand-in for the pinned wheel: one component with some hundred short texts."""
    words = ["on", "off", "open", "close", "up", "down", "lamp", "door", "heat", "cold"]
    texts = [f"{a} the {b} in {c}" for a in words for b in words for c in words if a < b]
    with zipfile.ZipFile(path, "w") as wheel:
        for language, change in (("en", str), ("de", str.upper)):
            content = json.dumps({f"k{i}": change(text) for i, text in enumerate(texts)})
            wheel.writestr(f"homeassistant/components/x/translations/{language}.json", content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the recipes, in a path with a space, with small settings and the small wheel."""
    folder = tmp_path_factory.mktemp("the project")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (folder / "selfteach_fairseq").symlink_to(ROOT / "selfteach_fairseq")
    (folder / "recipes/demo/settings.sh").write_text(SETTINGS)
    sha256 = make_wheel(folder / "text.whl")
    corpus = folder / "recipes/demo/corpus.py"
    corpus.write_text(
        re.sub(r'WHEEL_SHA256 = "\w+"', f'WHEEL_SHA256 = "{sha256}"', corpus.read_text())
    )
    return folder


def start(project, *arguments):
    return subprocess.Popen(
        [project / "recipes/demo/run.sh", *arguments],
        env={**install_commands(project / "bin"), "DEMO_WHEEL": str(project / "text.whl")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(project, *arguments):
    process = start(project, *arguments)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return output


def table(output):
    return [line for line in output.splitlines() if line.startswith("| ")]


def test_the_demo_from_nothing_to_the_table(project):
    # Killed in the midst of training, it goes on from the last checkpoint.
    process = start(project)
    last = project / "work/demo/self-taught/checkpoint_last.pt"
    for _ in range(1200):
        if last.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    output = finish(project)
    assert "== corpus: finished already, kept" in output
    assert "== train-self-taught" in output
    head, full, student = table(output)
    assert "BLEU" in head and "sent./s" in head
    assert full.startswith("| full ") and " 3x3 " in full
    assert student.startswith("| student ") and " 1x1 " in student
    assert output.count("\nsource ") == 10
    assert all(len(line) <= 100 for line in table(output))

    again = finish(project)
    assert again.count("finished already, kept") == 8 and "$ " not in again
    assert table(again) == table(output)

    compared = finish(project, "compare")
    names = [row.split("|")[1].strip() for row in table(compared)[1:]]
    assert names == ["full", "student", "plain-full", "plain-cut", "small-scratch"]
    assert compared.count("finished already, kept") == 8

    # A changed setting runs again what depends on it, and says so.
    settings = project / "recipes/demo/settings.sh"
    settings.write_text(settings.read_text().replace("updates=6", "updates=4"))
    changed = finish(project)
    assert changed.count("have changed, starts anew") == 5
    assert "== binarise: finished already, kept" in changed


def test_a_failing_stage_ends_the_demo(project):
    settings = project / "recipes/demo/settings.sh"
    there = settings.read_text()
    settings.write_text(there.replace("student_layers=1", "student_layers=9"))
    process = start(project)
    output = process.communicate()[0]
    settings.write_text(there)
    assert process.returncode == 1
    assert "choose 1 to 3" in output
    assert "== train-self-taught failed: see" in output.splitlines()[-1]
    log = Path(output.splitlines()[-1].split("see ")[1])
    assert "Traceback" in log.read_text()
