"""The README's commands, in miniature."""

import argparse
import re
import subprocess

import pytest
from conftest import ROOT, install_commands
from fairseq.dataclass.utils import gen_parser_from_dataclass

from selfteach_fairseq.baselines.r_drop import RDropConfig
from selfteach_fairseq.baselines.word_level import WordLevelDistillationConfig
from selfteach_fairseq.cli import main
from selfteach_fairseq.criterion import SelfteachCriterionConfig

README = (ROOT / "README.md").read_text()


SMALL = "--encoder-embed-dim 16 --decoder-embed-dim 16 --max-epoch 1 --cpu"


def run_block(name, changes, data, folder):
    """Run the commands under a mark in the README; returns what they print."""
    (block,) = re.findall(rf"<!-- test: {name} -->\n```bash\n(.*?)```", README, re.DOTALL)
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
    output = run_block("own project", {"--max-epoch 60": SMALL}, data, tmp_path)
    assert re.search(r"after +3x3 ", output)
    assert len(re.findall(r"^H-\d+", output, re.MULTILINE)) == 21


def test_the_command_for_a_gradual_schedule(data, tmp_path):
    changes = {"--max-tokens 4096": f"--max-tokens 4096 {SMALL}", "6,5,4,3": "2,1"}
    output = run_block("gradual", changes, data, tmp_path)
    assert output.splitlines()[-1] == "gradual/model-1x1.pt"


@pytest.mark.parametrize(
    "config", [SelfteachCriterionConfig, WordLevelDistillationConfig, RDropConfig]
)
def test_every_option_of_a_criterion_is_explained(config):
    parser = argparse.ArgumentParser(add_help=False)
    gen_parser_from_dataclass(parser, config())
    table = README.split("## Options")[1]
    for action in parser._actions:
        (option,) = action.option_strings
        assert f"`{option}`" in table, option


def test_every_command_is_explained(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    (names,) = re.findall(r"\{([\w,-]+)\}", capsys.readouterr().out.split("\n\n")[0])
    for name in names.split(","):
        assert f"`selfteach {name}" in README, name


def test_files_that_the_readme_names_are_there():
    named = re.findall(r"`((?:selfteach_fairseq|recipes)/[\w/*]+\.\w+)`", README)
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert named and links
    for path in named + links:
        assert list(ROOT.glob(path.replace("CORPUS", "*"))), path
