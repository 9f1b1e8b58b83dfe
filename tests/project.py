"""The recipes in a folder of their own, on texts and models small enough for a test."""

import os
import re
import shutil
import signal
import subprocess

import miniature
import torch
from conftest import ROOT, install_commands, make_text

SETTINGS = """
types=60 layers=3 students=1 needs_gpu= updates=6
if [[ $family == bitext || $family == summarise ]]; then types=36; fi
if [[ $family == demo ]]; then
    engines="fairseq ctranslate2-int8" within=1 ship=1 example="UP THE LAMP"
fi
generation=(--beam 2) longest=(--max-len-b 20)
model=(
    --arch transformer_selfteach_tiny --encoder-embed-dim 16 --encoder-ffn-embed-dim 16
    --decoder-embed-dim 16 --share-all-embeddings
)
training=(
    --optimizer adam --lr 0.01 --label-smoothing 0.1 --max-tokens 400
    --dropout 0 --save-interval-updates 2 --keep-interval-updates 1 --num-workers 0
)
"""


class Project:
    """A copy of the recipes, in a path with a space, with small settings and small texts."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "recipes", folder / "recipes")
        (folder / "selfteach_fairseq").symlink_to(ROOT / "selfteach_fairseq")
        self.settings = folder / "settings.sh"
        self.settings.write_text(SETTINGS)
        make_text(folder)
        self.environment = {
            **install_commands(folder / "bin"),
            "SETTINGS": str(self.settings),
            "CUDA_VISIBLE_DEVICES": "",
            "DEMO_WHEEL": str(folder / "text.whl"),
            "IWSLT14_ARCHIVE": str(miniature.release(folder / "2014-01.tgz")),
            "SRC": str(folder / "train.xx"),
            "TGT": str(folder / "train.en"),
            "VALID_SRC": str(folder / "valid.xx"),
            "VALID_TGT": str(folder / "valid.en"),
            "TEST_SRC": str(folder / "test.xx"),
            "TEST_TGT": str(folder / "test.en"),
        }

    def start(self, *arguments, script="run.sh", **environment):
        return subprocess.Popen(
            [self.folder / "recipes" / script, *arguments],
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, *arguments, code=0, **environment):
        process = self.start(*arguments, **environment)
        output = process.communicate()[0]
        assert process.returncode == code, output
        return output


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def results(work):
    """What a run has made, bytes by name (the sentencepiece model names its folder: left out)."""
    made = ("text/*", "pieces/*.??", "data/*.bin", "data/*.idx", "data/dict*", "*.hyp.txt")
    found = {
        str(path.relative_to(work)): path.read_bytes()
        for pattern in made
        for path in work.glob(pattern)
    }
    for path in work.glob("selfteach*-seed1-*.pt"):
        for name, tensor in torch.load(path)["model"].items():
            found[f"{path.name} {name}"] = tensor.numpy().tobytes()
    return found


def rows(output):
    """The tables' rows, as dictionaries, without rules."""
    tables, found = re.findall(r"(?:^\|.*\n)+", output, re.MULTILINE), []
    for table in tables:
        head, _, *lines = ([c.strip() for c in x.split("|")[1:-1]] for x in table.splitlines())
        found.append([dict(zip(head, line, strict=True)) for line in lines])
    return found
