"""Pieces of a corpus, and what cannot become any."""

import re
import resource
import subprocess
import sys

import pytest
from conftest import ROOT, make_text

LONG = " ".join(f"w{i}" for i in range(1500))


def subwords(folder, **options):
    command = [sys.executable, ROOT / "recipes/subwords.py", folder, "xx", "en", "--types", "36"]
    out = folder / "pieces"
    return subprocess.run([*command, "--out", out], capture_output=True, text=True, **options)


def full_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        ("valid", {}, r"valid.xx, line 20: [\d,]+ pieces, fairseq takes 1,023: shorten it, or"),
        ("test", {}, r"test.xx, line 22: "),
        ("train", {"preexec_fn": full_disk}, "spm.model: was not written whole: is the disk full"),
    ],
)
def test_what_cannot_work_gets_one_line(tmp_path, split, options, message):
    make_text(tmp_path)
    for language, line in (("xx", LONG), ("en", "short")):
        with open(tmp_path / f"{split}.{language}", "a") as file:
            file.write(line + "\n")
    before = set(tmp_path.iterdir())
    result = subwords(tmp_path, **options)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert re.search(message, result.stderr), result.stderr
    assert set(tmp_path.iterdir()) == before
