"""What settings reach, and which are refused before anything that takes time."""

import subprocess

import pytest
from conftest import ENVIRONMENT, ROOT
from stand_ins import Comparison, after, of


@pytest.fixture
def comparison(project):
    return Comparison(project)


@pytest.fixture
def say(comparison):
    """Adds lines to the file SETTINGS."""

    def say(*lines):
        with comparison.project.settings.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    return say


def test_what_is_exported_is_the_first_methods_and_seeds(comparison, say):
    say('example="a b"')
    for seeds in ("1", "2 1", "1"):
        comparison.run(script="run.sh", METHOD="plain", SEEDS=seeds)
        _, calls = comparison.run(script="export.sh", METHOD="plain", SEEDS=seeds, SHIP="1")
        assert [call[2] for call in of(calls, "selfteach", "export")] == [
            f"plain-seed{seeds[0]}-1.pt"
        ]
        made = (comparison.work / "export-1/made").read_text()
        assert f"plain-seed{seeds[0]}-1.pt" in made


def test_ship_may_be_a_depth_that_another_method_names(comparison):
    settings = {"METHOD": "plain word-kd@2x1", "SHIP": "2x1"}
    _, calls = comparison.run(script="run.sh", **settings)
    assert len(of(calls, "fairseq-train")) == 2


def test_the_file_says_what_the_environment_may(comparison, say):
    say("lenpens=(0.5 2)", "refine=plain refine_updates=10 refine_depths=3")
    _, calls = comparison.run(script="run.sh", METHOD="plain")
    assert {after(call, "--lenpen") for call in of(calls, "selfteach", "score")} == {"0.5,2"}
    refined = [after(call, "--save-dir") for call in of(calls, "fairseq-train")]
    assert refined == ["plain-seed1", "plain+plain-seed1-3"]
    _, calls = comparison.run(script="run.sh", METHOD="plain", LENPENS="1", REFINE="")
    assert {after(call, "--lenpen") for call in of(calls, "selfteach", "score")} == {"1"}
    assert not of(calls, "fairseq-train")


def test_the_file_says_how_to_train_but_the_environment_comes_before(comparison, say):
    say("PRECISION=bf16", "KEEP_EVERY=5")
    output, _ = comparison.run(script="run.sh", METHOD="plain", code=1)
    assert "PRECISION=bf16 needs a GPU" in output
    _, calls = comparison.run(script="run.sh", METHOD="plain", PRECISION="fp32")
    (trained,) = of(calls, "fairseq-train")
    assert trained[len(trained) - trained[::-1].index("--save-interval-updates")] == "5"


def test_what_make_asks_for_is_refined_where_the_file_says_so(comparison, say):
    say("refine=plain refine_updates=10")
    stages = ("prepare", "train", "truncate", "score", "report")
    _, calls = comparison.run(*stages, script="run.sh", METHOD="plain")
    refined = [after(call, "--save-dir") for call in of(calls, "fairseq-train")]
    assert refined == ["plain-seed1", "plain+plain-seed1-1"]


BEFORE = ("METRIC=bleu", "LONGEST=7", "MODEL=folder", "EPOCHS=1 LR=1", "LOWERCASE=1", "TEST_SRC=/x")


@pytest.mark.parametrize("line", BEFORE)
def test_what_is_read_before_the_file_is_refused_in_it(comparison, say, line):
    say(line)
    output, _ = comparison.run(script="run.sh", METHOD="plain", code=1)
    assert f"{line.partition('=')[0]} is read before this file: say it on the" in output


def test_an_average_of_no_epoch_is_refused(comparison):
    output, _ = comparison.run(script="run.sh", METHOD="plain", AVERAGE="3", code=1)
    assert "plain-seed1 ended within its first epoch: say AVERAGE=0, or more updates" in output


def test_no_choice_is_no_reason_for_no_tables(comparison, say):
    """The stand-in for `selfteach report` fails, as that does of speeds on two machines."""
    say("within=1")
    fails = 'if [[ " $* " == *" --within "* ]]; then echo "of two machines" >&2; exit 1; fi'
    stand_in = comparison.project.folder / "bin/selfteach"
    stand_in.write_text(stand_in.read_text().replace("set -eu", f"set -eu\n{fails}"))
    output, _ = comparison.run(script="run.sh", METHOD="plain")
    assert "of two machines" in output and "| the table |" in output
    output, _ = comparison.run(script="run.sh", METHOD="plain", WITHIN="")
    assert "of two machines" not in output


def test_tables_that_cannot_be_made_leave_those_that_are_there(comparison):
    comparison.run(script="run.sh", METHOD="plain")
    stand_in = comparison.project.folder / "bin/selfteach"
    stand_in.write_text(stand_in.read_text().replace("set -eu", "set -eu; echo no; exit 1"))
    output, _ = comparison.run(script="report.sh", METHOD="plain", code=1)
    assert output.split("\n").count("no") == 1
    assert "| the table |" in (comparison.work / "report.md").read_text()


def test_what_is_exported_without_quantization_has_its_own_record(comparison, say):
    say('example="a b"')
    settings = {"METHOD": "plain", "ENGINES": "fairseq ctranslate2"}
    comparison.run(script="run.sh", **settings)
    settings |= {"QUANTIZATION": "none", "SHIP": "1"}
    _, calls = comparison.run(script="export.sh", **settings)
    (call,) = of(calls, "selfteach", "export")
    assert after(call, "--record") == "plain-seed1-1.ctranslate2.json"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"TEST_SET": "test1"}, "TEST_SET=test1: bitext-mine has none"),
        ({"ENGINES": "ctranslate2"}, "ENGINES=ctranslate2: fairseq's translations are compared"),
        ({"METHOD": "selfteach"}, "METHOD=selfteach: name plain or plain@DEPTH, too"),
        ({"METHOD": "selfteach plainest"}, "name plain or plain@DEPTH, too"),
    ],
)
def test_what_cannot_be_compared_is_said_before_a_training(comparison, settings, message):
    output, calls = comparison.run(code=1, **settings)
    assert message in output and not of(calls, "fairseq-train")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (("prepare", "train", "importance"), "importance: say KEEP_EVERY=150"),
        (("report", "export"), "export: say which depth, one of 3 1: SHIP=..."),
    ],
)
def test_what_the_last_stage_would_lack_is_said_before_the_first(project, stages, message):
    output = project.finish("bitext-mine", *stages, code=1)
    assert message in output and not (project.folder / "work").exists()


def test_labelled_text_that_is_divided_anew_is_other_data(comparison):
    """Also to what is made of the data, though the labels stay what they are."""
    table = comparison.project.folder / "labels.tsv"
    table.touch()
    work, found = comparison.project.folder / "work/classify-mine", []
    for types in ("30", "40", "30"):
        settings = {
            "script": "prepare.sh",
            "corpus": "classify-mine",
            "TSV": str(table),
            "SHIP": "1",
        }
        comparison.run(**settings, TYPES=types)
        found.append((work / ".stages/binarise.done").read_text().split()[1])
    assert found[0] == found[2] != found[1]


def make(target, **settings):
    """What make would run."""
    command = [
        "make",
        "-n",
        "--no-print-directory",
        target,
        *(f"{name}={value}" for name, value in settings.items()),
    ]
    result = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True)
    assert not result.returncode, result.stderr
    return result.stdout


@pytest.mark.parametrize("target", ["demo", "classify", "debian-sections", "glue-rte"])
def test_stages_are_those_that_are_named(target):
    assert " score report export\n" in make(target)
    assert " prepare train\n" in make(target, STAGES="prepare train")


def test_stages_and_settings_may_be_named_anyhow(monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "STAGES", "prepare train")
    assert make("demo").endswith(" prepare train\n")
    assert make("importance-multi30k-de").endswith(" prepare train\n")
    for target in ("study", "compare-scarce", "sizes-wide", "schedules-multi30k-de"):
        assert '"${SETTINGS:-recipes/' in make(target)


def test_a_setting_that_nothing_reads_is_refused(comparison, tmp_path):
    output = comparison.project.finish("bitext-mine", "METHODS=plain", code=1)
    assert "METHODS=: no recipe reads such a setting" in output
    assert not (comparison.project.folder / "work").exists()
    words = ("STAGES=prepare", "METHOD=a b", f"WORK={tmp_path / 'work'}", "SEED=2")
    command = ["make", "--old-file=.venv/.ready", "demo", *words]
    environment = {**ENVIRONMENT, "DEMO_WHEEL": "/no wheel"}
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode and "SEED=: no recipe reads such a setting" in result.stderr


def test_other_targets_export_nothing():
    for target in ("debian-summaries", "bitext", "multi30k-de", "demo-compare"):
        assert make(target).endswith(" score report\n")
