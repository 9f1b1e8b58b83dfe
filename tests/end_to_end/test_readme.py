"""The commands, options and files of the README and docs, in miniature."""

import argparse
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from conftest import ROOT, fairseq, install_commands, make_text, run, train
from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.tasks.translation import TranslationConfig

from selfteach_fairseq.cli import main
from selfteach_fairseq.criterions.intra_distillation import IntraDistillationConfig
from selfteach_fairseq.criterions.r3f import R3FConfig
from selfteach_fairseq.criterions.r_drop import RDropConfig
from selfteach_fairseq.criterions.selfteach import SelfteachCriterionConfig
from selfteach_fairseq.criterions.word_level import WordLevelDistillationConfig
from selfteach_fairseq.tasks.translation import SelfteachTranslationConfig

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES += sorted(
    path for folder in ("docs", "recipes", "benchmarks") for path in ROOT.glob(f"{folder}/**/*.md")
)

OPTIONS = (ROOT / "docs/options.md").read_text()
SMALL = "--encoder-embed-dim 16 --decoder-embed-dim 16 --max-epoch 1 --cpu"


def run_block(page, name, changes, data, folder):
    """Run the commands under a mark in a page; returns what they print."""
    text = (ROOT / page).read_text()
    (block,) = re.findall(rf"<!-- test: {name} -->\n```bash\n(.*?)```", text, re.DOTALL)
    for words, others in changes.items():
        assert words in block
        block = block.replace(words, others)
    (folder / "data-bin").symlink_to(data)
    result = subprocess.run(
        ["bash", "-euc", block],
        cwd=folder,
        env=install_commands(folder / "bin"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_commands_for_an_own_project(data, tmp_path):
    changes = {"--max-epoch 60": SMALL}
    output = run_block("README.md", "own project", changes, data, tmp_path)
    assert re.search(r"after +3x3 ", output)
    assert len(re.findall(r"^H-\d+", output, re.MULTILINE)) == 21


def test_the_commands_that_ship_a_model(tmp_path):
    make_text(tmp_path)
    run(
        *(sys.executable, ROOT / "recipes/subwords.py", tmp_path, "xx", "en"),
        *("--types", 36, "--out", tmp_path / "pieces"),
    )
    (tmp_path / "pieces/spm.model").rename(tmp_path / "spm.model")
    fairseq(
        *("preprocess", "--source-lang", "xx", "--target-lang", "en", "--destdir", tmp_path / "d"),
        *(f"--{split}pref={tmp_path / 'pieces' / split}" for split in ("train", "valid", "test")),
        *("--srcdict", tmp_path / "pieces/dict.txt", "--tgtdict", tmp_path / "pieces/dict.txt"),
    )
    train(tmp_path / "d", tmp_path / "run", "--student-layers", 2, "--max-epoch", 1)
    (tmp_path / "run/checkpoint_last.pt").rename(tmp_path / "student.pt")
    output = run_block(
        "README.md", "shipping", {"Guten Morgen.": "w3 w5"}, tmp_path / "d", tmp_path
    )
    assert "| CT2 int8 | " in output
    assert (tmp_path / "shipped/sentencepiece.model").is_file()


def test_the_command_for_a_gradual_schedule(data, tmp_path):
    changes = {"--max-tokens 4096": f"--max-tokens 4096 {SMALL}", "6,5,4,3": "2,1"}
    output = run_block("docs/gradual.md", "gradual", changes, data, tmp_path)
    assert output.splitlines()[-1] == "gradual/model-1x1.pt"


def test_the_command_that_fine_tunes_a_student(data, trained, tmp_path):
    best = trained / "checkpoint_best.pt"
    assert main(["truncate", str(best), "--layers", "2x1", "-o", str(tmp_path / "student.pt")]) == 0
    changes = {
        "transformer_selfteach_iwslt_de_en": "transformer_selfteach_tiny",
        "--encoder-layers 3 --decoder-layers 3": "--encoder-layers 2 --decoder-layers 1",
        "--max-update 4000": f"--max-update 4 --encoder-ffn-embed-dim 16 {SMALL}",
        "--max-tokens 4096": "--max-tokens 256 --required-batch-size-multiple 1",
    }
    output = run_block("docs/options.md", "refine", changes, data, tmp_path)
    assert "loading pretrained model from student.pt" in output
    assert re.search(r"\| train \| .*\| kl ", output)
    assert (tmp_path / "refined/checkpoint_best.pt").is_file()


CONFIGS = [SelfteachCriterionConfig, WordLevelDistillationConfig, RDropConfig]
CONFIGS += [R3FConfig, IntraDistillationConfig]


@pytest.mark.parametrize("config", CONFIGS)
def test_every_option_of_a_criterion_is_explained(config):
    parser = argparse.ArgumentParser(add_help=False)
    gen_parser_from_dataclass(parser, config())
    for action in parser._actions:
        (option,) = action.option_strings
        assert f"`{option}`" in OPTIONS, option


def test_every_option_of_the_task_is_explained():
    stock = {field.name for field in fields(TranslationConfig)}
    for field in fields(SelfteachTranslationConfig):
        assert field.name in stock or f"--{field.name.replace('_', '-')}" in OPTIONS, field.name


def test_every_architecture_is_listed():
    twins = {name for name in ARCH_MODEL_REGISTRY if name.startswith("transformer_selfteach")}
    listed = re.findall(r"`(transformer_selfteach\w*)` \|$", OPTIONS, re.MULTILINE)
    assert set(listed) == twins


def test_every_command_is_explained(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    (names,) = re.findall(r"\{([\w,-]+)\}", capsys.readouterr().out.split("\n\n")[0])
    table = (ROOT / "docs/commands.md").read_text()
    for name in names.split(","):
        assert f"`selfteach {name}" in table, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_links_to_or_names_are_there(page):
    text = page.read_text()
    named = re.findall(r"`((?:selfteach_fairseq|recipes)/[\w/*-]+\.\w+)`", text)
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert links or page.name != "README.md"
    for path in [*(ROOT / name for name in named), *(page.parent / link for link in links)]:
        relative = str(path.resolve().relative_to(ROOT))
        assert list(ROOT.glob(re.sub("CORPUS|NAME", "*", relative))), path


def test_files_of_the_maps_are_there():
    faults = re.findall(
        r"\| `(\w+\.py)` \|$", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE
    )
    patches = {path.name for path in ROOT.glob("selfteach_fairseq/patches/*.py")}
    assert faults and set(faults) <= patches
    _, *rows = re.findall(r"^\| .* \|$", (ROOT / "docs/house.md").read_text(), re.MULTILINE)
    assert rows
    for row in rows:
        paths = re.findall(r"`([\w/*.]+/|[\w/*-]+\.\w+)`", row)
        assert paths, row
        for path in paths:
            at_root = path.startswith(("recipes/", "benchmarks/"))
            folder = ROOT if at_root else ROOT / "selfteach_fairseq"
            assert list(folder.glob(path.replace("CORPUS", "*"))), path


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 140


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_headings_lead_somewhere(page):
    for path, heading in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", page.read_text()):
        target = page.parent / path if path else page
        titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert heading in anchors, (heading, sorted(anchors))
