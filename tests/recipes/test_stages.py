"""recipes/stages.sh with commands that take no time: what is kept, made anew, left alone."""

import subprocess

import pytest
from conftest import ROOT, install_commands

SCRIPT = """
set -euo pipefail; shopt -s inherit_errexit
recipes={recipes} root=$PWD corpus=made-up work=$PWD/{work}
fail() {{ echo "$*" >&2; exit 1; }}
source "$recipes/stages.sh"
{stages}
"""
TEXT = """stage text "$work/text" "$PWD/input" -- \\
    bash -c 'mkdir "$0"; cp input "$0"' "$work/text"
"""
DATA = """stage data "$work/data" text -- \\
    bash -c 'tr a-z A-Z <"$0/text/input" >"$0/data"' "$work"
"""
MODEL = """stage model "$work/model" data -- \\
    bash -c 'mkdir -p "$0/model"; cat "$0/data" >>"$0/model/last.pt"' "$work"
"""
ALL = TEXT + DATA + MODEL
# What the recipes of the first release note of these three: key, and digest of what is left.
RELEASED = {
    "text": (
        "7a322c04ea76df7ccfd095a658f9ab23d111c3a2755a326374273a2002053b6e",
        "54096a290fcfae2b37cdbd106ea0bb76fa23e44160addaa5e5327a0d1c396c09",
    ),
    "data": (
        "b16672efa79201f28ef4c6627fcd58d911b14b63148362755222dde628aa4234",
        "67cf9f475f86fb7d0d345adf273fcf9784a22c174ad6cc7219b368b3b55fce2f",
    ),
    "model": (
        "af81009e459a5fe67f6df61435c3805f37cbe4ee3d7e892d7edd1af14b24e4e3",
        "b2fc1febdca4133877dfeb114ed77e965217ae3132990711d925b45c826c4ca9",
    ),
}
NEEDED = {"text": None, "data": "text", "model": "data"}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "a project"
    folder.mkdir()
    (folder / "input").write_text("words\n")
    environment = install_commands(tmp_path / "bin")

    def run(stages=ALL, code=0, cwd=folder, work="work"):
        script = SCRIPT.format(recipes=ROOT / "recipes", stages=stages, work=work)
        result = subprocess.run(
            ["bash", "-c", script], cwd=cwd, env=environment, capture_output=True, text=True
        )
        assert result.returncode == code, result.stderr
        return result.stdout + result.stderr

    run.folder = folder
    return run


def test_a_finished_stage_is_kept_wherever_the_project_is(run, tmp_path):
    assert run().count("finished already") == 0
    assert run().count("finished already, kept") == 3
    run.folder.rename(tmp_path / "elsewhere")
    assert run(cwd=tmp_path / "elsewhere").count("finished already, kept") == 3


def test_what_a_changed_input_changes_is_made_anew(run):
    run()
    (run.folder / "input").write_text("other words\n")
    assert run().count("its settings or inputs have changed, starts anew") == 3
    assert (run.folder / "work/model/last.pt").read_text() == "OTHER WORDS\n"
    assert (run.folder / "work/model.old/last.pt").read_text() == "WORDS\n"


def test_what_was_put_aside_stays(run):
    for words in ("words\n", "other words\n", "more words\n", "words\n"):
        (run.folder / "input").write_text(words)
        run()
    aside = [run.folder / f"work/model.old{n}/last.pt" for n in ("", 1, 2)]
    assert [path.read_text() for path in aside] == ["WORDS\n", "OTHER WORDS\n", "MORE WORDS\n"]


def test_what_a_changed_input_leaves_as_it_is_is_kept(run):
    run()
    (run.folder / "input").write_text("WORDS\n")
    output = run()
    assert output.count("starts anew") == 2 and "== model: finished already, kept" in output


def test_a_stage_is_not_made_of_what_is_older_than_its_own_source(run):
    run()
    (run.folder / "input").write_text("other words\n")
    run(TEXT)
    output = run(MODEL, code=1)
    assert "model needs what data makes, which is from before text was run anew" in output
    run(ALL)
    (run.folder / "input").write_text("more words\n")
    run(TEXT.replace("cp input", "cp none"), code=1)
    assert "model needs what text makes, which has not been run to its end" in run(MODEL, code=1)


def test_what_no_recipe_has_made_is_left_alone(run):
    precious = run.folder / "work/text/thesis.tex"
    precious.parent.mkdir(parents=True)
    precious.write_text("precious")
    assert "was not made by this recipe: move it away" in run(TEXT, code=1)
    assert precious.read_text() == "precious"


def test_a_file_of_a_stages_name_is_not_taken_for_it(run):
    run()
    (run.folder / "text").write_text("x")
    (run.folder / "input").write_text("other words\n")
    run()
    assert (run.folder / "work/data").read_text() == "OTHER WORDS\n"


def test_an_interrupted_stage_goes_on_with_what_is_there(run):
    run(TEXT + DATA)
    run(MODEL)
    (run.folder / "work/.stages/model.done").unlink()
    assert "== model: goes on" in run(MODEL)
    assert (run.folder / "work/model/last.pt").read_text() == "WORDS\nWORDS\n"


@pytest.fixture
def released(run):
    """The folder as the recipes of the first release have left it."""
    work = run.folder / "work"
    for folder in (".stages", "text", "model", "logs"):
        (work / folder).mkdir(parents=True)
    (work / "text/input").write_text("words\n")
    for path in ("data", "model/last.pt"):
        (work / path).write_text("WORDS\n")
    (work / ".stages/corpus").write_text("made-up\n")
    for name, (key, digest) in RELEASED.items():
        before = NEEDED[name]
        after = f"{before} {RELEASED[before][1]}\n" if before else ""
        for end, content in {"begun": key, "done": f"{key} {digest}", "lock": ""}.items():
            (work / f".stages/{name}.{end}").write_text(content and content + "\n")
        (work / f".stages/{name}.after").write_text(after)
    return run


def test_finished_work_of_the_first_release_is_kept(released):
    assert released().count("finished already, kept") == 3


def test_what_the_first_release_made_of_other_text_is_made_anew(released):
    (released.folder / "input").write_text("WORDS\n")
    output = released()
    for name in ("text", "data"):
        assert f"== {name}: its settings or inputs have changed, starts anew" in output
    assert "== model: finished already, kept" in output


def test_what_the_first_release_began_goes_on(released):
    (released.folder / "work/.stages/model.done").unlink()
    assert "== model: goes on" in released()
    assert (released.folder / "work/model/last.pt").read_text() == "WORDS\nWORDS\n"
    assert released().count("finished already, kept") == 3


def test_another_machine_takes_part_and_keeps_no_account(run):
    followed = MODEL.replace("stage model", "follow 1 model")
    run()
    assert run(followed).count("== model: finished already, kept") == 1
    (run.folder / "work/.stages/model.done").unlink()
    assert run(followed) == ""
    assert "== model failed: see " in run(followed.replace(" -- ", " -- false "), code=1)
    assert (run.folder / "work/model/last.pt").read_text() == "WORDS\nWORDS\n"
    assert not (run.folder / "work/.stages/model.done").exists()
    assert (run.folder / "work/logs/model.node1.log").exists()


def test_an_input_that_is_missing_is_named(run):
    (run.folder / "input").unlink()
    assert "a project/input: no such file" in run(TEXT, code=1)


def test_settings_are_looked_at_before_anything_runs(tmp_path):
    text = tmp_path / "train.xx"
    text.write_text("words\n")
    for variable, value, message in (
        ("STUDENTS", "2,1", "'2,1' is no depth: write LAYERS and STUDENTS as 3 or 6x3"),
        ("LAYERS", "six", "'six' is no depth"),
        ("METHOD", "plain@", "METHOD=plain@: write plain, or plain@3"),
        ("METHOD", "plain magic", "METHOD=magic: there is no recipes/methods/magic.flags"),
        ("METHOD", "selfteach@3", 'STUDENTS="3" none is smaller than the model of 3 layers'),
        ("METHOD", "plain selfteach@3", 'STUDENTS="3" none is smaller than the model of 3 layers'),
        ("STUDENTS", " 7  3 ", 'STUDENTS="7 3": a model of LAYERS=6 has no student of 7 layers'),
        ("SPM_NORMALIZATION", "nfc", "SPM_NORMALIZATION=nfc: choose identity, which leaves"),
        ("WORK", str(tmp_path / "work[1]"), "or the shell one of , : * ? [ ] is no part of a name"),
        ("AVERAGE", "yes", "'yes' is no number"),
        ("SETTINGS", "none.sh", "SETTINGS=none.sh: no such file"),
        ("TGT", str(text), "say SOURCE_LANG= and TARGET_LANG="),
        ("NNODES", "2", "NNODES=2: say NODE_RANK"),
    ):
        environment = {
            **install_commands(tmp_path / "bin"),
            **{"SRC": str(text), "TGT": str(tmp_path / "train.en"), "CPU": "1"},
            **{"WORK": str(tmp_path / "work"), variable: value},
        }
        (tmp_path / "train.en").write_text("words\n")
        result = subprocess.run(
            [ROOT / "recipes/train.sh", "bitext-mine"],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 1 and message in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1 and not (tmp_path / "work").exists()


def test_one_folder_for_each_corpus(run):
    run(TEXT)
    result = subprocess.run(
        [ROOT / "recipes/report.sh", "iwslt14-fa"],
        env={**install_commands(run.folder / "bin"), "WORK": str(run.folder / "work")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "is for made-up: choose another WORK for iwslt14-fa" in result.stderr
