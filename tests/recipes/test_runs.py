"""recipes/runs.py and check.py: which runs the settings ask for, and what is wrong with them."""

import re
import subprocess
import sys
from pathlib import Path

import berts
import pytest
from conftest import ENVIRONMENT, ROOT

sys.path.insert(0, str(ROOT / "recipes"))

import check
import methods
import runs
import settings
import workers
from settings import Machine

PYTHONS = Path(sys.executable).parent
# As a user may have written them for the first release: with what the recipes knew then.
SETTINGS = """
source "$recipes/small.sh"
if [[ $family == multi30k && $variant == de ]]; then layers=6x3; fi
students="3 2x1" seeds="1 2" methods="plain mine@3" updates=40
training+=(--lr 1e-3)
"""
FLAGS = """# My own: the teacher's words, and
# text: translated by the teacher
# cut: every other layer
--criterion label_smoothed_cross_entropy
  --encoder-layerdrop 0.2   --seed-of-mine {teacher}
"""


@pytest.fixture(autouse=True)
def no_settings_of_the_environment(monkeypatch):
    for name in ("METHOD", "SEEDS", "LAYERS", "STUDENTS", "SETTINGS", "WORK", "LENPENS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def rows(monkeypatch, capsys):
    """The rows that runs.py prints, as lists, for settings in the environment."""

    def rows(*columns, corpus="multi30k-de", **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        runs.main(corpus, *columns)
        return [line.split("|") for line in capsys.readouterr().out.splitlines()]

    return rows


def test_a_line_a_training(rows):
    assert rows("name", "system", "encoder", "decoder", "cuts", "flags", SEEDS="1 2") == [
        ["selfteach-seed1", "selfteach", "4", "4", "4 3 2", SELFTEACH],
        ["selfteach-seed2", "selfteach", "4", "4", "4 3 2", SELFTEACH],
        ["plain-seed1", "plain", "4", "4", "4 3 2", PLAIN],
        ["plain-seed2", "plain", "4", "4", "4 3 2", PLAIN],
    ]


PLAIN = "--criterion label_smoothed_cross_entropy"
SELFTEACH = "--criterion label_smoothed_ce_selfteach --student-layers 3,2"


def test_a_line_an_engine(rows):
    engines = "fairseq ctranslate2 ctranslate2-int8"
    found = rows("--scores", "record", "depth", "engine", METHOD="selfteach@3", ENGINES=engines)
    assert found == [
        ["selfteach@3-seed1-3", "3", "--engine fairseq"],
        ["selfteach@3-seed1-3.ctranslate2", "3", "--engine ctranslate2"],
        [
            *("selfteach@3-seed1-3.ctranslate2-int8", "3"),
            "--engine ctranslate2 --quantization int8",
        ],
        ["selfteach@3-seed1-2", "2", "--engine fairseq"],
        ["selfteach@3-seed1-2.ctranslate2", "2", "--engine ctranslate2"],
        [
            *("selfteach@3-seed1-2.ctranslate2-int8", "2"),
            "--engine ctranslate2 --quantization int8",
        ],
    ]


def test_a_run_of_its_own_depth_is_cut_no_further_unless_it_trains_students(rows):
    found = rows("name", "encoder", "cuts", METHOD="plain@3 selfteach@3")
    assert found == [["plain@3-seed1", "3", "3"], ["selfteach@3-seed1", "3", "3 2"]]


def test_a_student_as_deep_as_the_model_is_the_model(rows):
    assert rows("cuts", METHOD="selfteach", LAYERS="3", STUDENTS="3x3 3x2") == [["3 3x2"]]


def test_what_learns_from_a_teacher_needs_it_first(rows):
    columns = ("name", "teacher", "data", "needs", "costs")
    kd = rows(*columns, METHOD="word-kd@2 seq-kd@2", SEEDS="7")
    assert kd == [
        [
            *("word-kd@2-seed7", "plain-seed7-4", "data", "binarise truncate-plain-seed7-4"),
            "word-kd@2-seed7 plain-seed7",
        ],
        [
            *("seq-kd@2-seed7", "plain-seed7-4", "translated-seed7", "distil-seed7"),
            "seq-kd@2-seed7 plain-seed7 translated-seed7",
        ],
    ]


def test_self_kd_is_as_large_as_its_teacher(rows):
    columns = ("name", "encoder", "teacher", "needs", "costs", "cuts")
    assert rows(*columns, METHOD="self-kd", LAYERS="4x2", STUDENTS="2 1") == [
        [
            *("self-kd-seed1", "4", "plain-seed1-4x2", "binarise truncate-plain-seed1-4x2"),
            *("self-kd-seed1 plain-seed1", "4x2 2 1"),
        ]
    ]
    with pytest.raises(
        settings.SettingsError, match="METHOD=self-kd@2: self-kd has its teacher's size: "
    ):
        rows(METHOD="self-kd@2")


def test_a_share_of_the_updates(rows, tmp_path):
    found = rows("flags", METHOD="pruning")[0][0]
    assert "--pruning-start-update 900 --pruning-end-update 2700 " in found  # of 3,600
    with pytest.raises(settings.SettingsError, match="METHOD=pruning goes by the number of up"):
        rows(METHOD="pruning", corpus="iwslt14-de")
    (tmp_path / "settings.sh").write_text("updates=50\n")
    words = {"METHOD": "pruning@3", "SETTINGS": tmp_path / "settings.sh"}
    found = rows("budget", "cuts", "flags", corpus="iwslt14-de", **words)[0]
    assert found[:2] == ["--max-update 50", "3"] and " --pruning-end-update 37 " in found[2]


def test_self_teaching_with_a_teacher_needs_it_first(rows):
    columns = ("teacher", "needs", "costs", "cuts", "flags")
    assert rows(*columns, METHOD="selfteach-kd", SEEDS="7") == [
        [
            *("plain-seed7-4", "binarise truncate-plain-seed7-4"),
            *("selfteach-kd-seed7 plain-seed7", "4 3 2", f"{SELFTEACH} --teacher {{teacher}}"),
        ]
    ]


def test_a_schedule_goes_one_by_one_or_as_it_says(rows):
    found = rows("name", "schedule", "encoder", "budget", METHOD="gradual gradual@6x6-6x3-3")
    assert found == [
        ["gradual-seed1", "4,3,2", "4", "--stage-updates 1800"],
        ["gradual@6x6-6x3-3-seed1", "6x6,6x3,3", "6", "--stage-updates 1800"],
    ]
    cuts = rows("--cuts", "depth", "checkpoint", METHOD="gradual@6x6-6x3-3")
    assert cuts == [
        ["6x6", "gradual@6x6-6x3-3-seed1/model-6x6.pt"],
        ["6x3", "gradual@6x6-6x3-3-seed1/model-6x3.pt"],
        ["3", "gradual@6x6-6x3-3-seed1/model-3x3.pt"],
    ]
    cuts = rows("--cuts", "checkpoint", METHOD="gradual@6-last4-2")
    assert [path for (path,) in cuts] == [
        f"gradual@6-last4-2-seed1/model-{depth}.pt" for depth in ("6x6", "last4x4", "2x2")
    ]


@pytest.mark.parametrize(("layers", "students"), [("6x6", "3x3"), ("3", "3 4"), ("6", "8")])
def test_a_schedule_that_has_to_say_its_depths(rows, layers, students):
    with pytest.raises(settings.SettingsError, match="say gradual@6x6-6x4-6x3"):
        rows(METHOD="gradual", LAYERS=layers, STUDENTS=students)


def test_what_a_model_is_cut_out_of_and_how(rows):
    columns = ("name", "depth", "stage", "checkpoint", "keep")
    options = {"METHOD": "layerdrop", "LAYERS": "6x3", "STUDENTS": "4x2"}
    cut = "--keep-encoder 0,1,3,4 --keep-decoder 0,1"
    assert rows("--cuts", *columns, **options)[1] == [
        *("layerdrop-seed1", "4x2", "train-layerdrop-seed1"),
        *("layerdrop-seed1/checkpoint_best.pt", cut),
    ]
    assert rows("--cuts", *columns, **options, AVERAGE="5")[1] == [
        *("layerdrop-seed1", "4x2", "average-layerdrop-seed1", "layerdrop-seed1.average.pt", cut)
    ]


def test_the_best_checkpoint_and_an_average_beside_it(rows):
    """The average is a row of its own, which is not trained again, nor refined."""
    options = {"METHOD": "selfteach", "STUDENTS": "2", "AVERAGE": "0 5", "REFINE": "plain"}
    of_average = ("selfteach+average-seed1", "selfteach+average", "selfteach-seed1.average.pt")
    of_best = ("selfteach-seed1", "selfteach", "selfteach-seed1/checkpoint_best.pt")
    assert rows("--cuts", "name", "system", "checkpoint", "depth", **options) == [
        *([*of_best, depth] for depth in ("4", "2")),
        *([*of_average, depth] for depth in ("4", "2")),
    ]
    assert rows("name", "cuts") == [["selfteach-seed1", "4 2"]]
    assert rows("--cuts", "stage", "costs")[-1] == ["average-selfteach-seed1", "selfteach-seed1"]
    assert rows("--refinements", "start") == [["selfteach-seed1-2"]]


def test_what_was_trained_after_it_was_cut_is_kept_whole(rows):
    options = {"METHOD": "selfteach", "STUDENTS": "0+2x0+2 last2", "REFINE": "plain"}
    found = rows("--refinements", "keep", **options, REFINE_DEPTHS="0+2x0+2 last2 4")
    assert found == [
        ["--layers 4"],
        ["--layers 2 --made-of 0+2x0+2"],
        ["--layers 2 --made-of last2"],
    ]
    found = rows("--cuts", "keep", METHOD="gradual@4-0+2x0+2-1", REFINE="")
    assert found == [["--layers 4"], ["--layers 2 --made-of 0+2x0+2"], ["--layers 1"]]


@pytest.fixture
def bart(tmp_path, monkeypatch):
    """The settings of a recipe with a BART."""
    for name in ("model.pt", "dict.txt", "encoder.json", "vocab.bpe", "documents", "summaries"):
        (tmp_path / name).touch()
    monkeypatch.setenv("BART", str(tmp_path))
    monkeypatch.setenv("SRC", str(tmp_path / "documents"))
    monkeypatch.setenv("TGT", str(tmp_path / "summaries"))


@pytest.mark.usefixtures("bart")
def test_a_bart_has_the_layers_of_its_architecture(rows):
    def found(**options):
        return rows("encoder", "cuts", corpus="summarise-mine", METHOD="selfteach", **options)

    assert found() == [["12", "12 last6x6"]]
    assert found(BART_ARCH="bart_selfteach_base") == [["6", "6 last3x3"]]


@pytest.mark.usefixtures("bart")
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LONGEST", "many", "LONGEST=many: write a number of pieces, 1 to 1,023"),
        ("LONGEST", "0", "LONGEST=0: "),
        ("LONGEST", "1024", "LONGEST=1024: "),
        ("METRIC", "chrf", "METRIC=chrf: choose rouge or bleu"),
        ("METHOD", "plain seq-kd@6", "METHOD=seq-kd@6: has no teacher with a BART's pieces"),
        ("ENGINES", "fairseq ctranslate2", "a BART's summaries are fairseq's alone"),
        ("SHIP", "12", "a BART's summaries are fairseq's alone"),
    ],
)
def test_what_summaries_by_a_bart_have_not(rows, name, value, message):
    with pytest.raises(settings.SettingsError, match=re.escape(message)):
        rows(corpus="summarise-mine", **{name: value})


@pytest.mark.parametrize("words", ["5 10", "0 5 10", "5 0", "0 0"])
def test_two_averages_are_refused(rows, words):
    with pytest.raises(settings.SettingsError, match=f'AVERAGE="{words}": write one number, or 0'):
        rows(AVERAGE=words)


def test_all_methods_at_all_sizes(rows):
    found = [row[0] for row in rows("system", METHOD="all", STUDENTS="2 1")]
    assert found[:5] == ["plain", "plain@2", "plain@1", "layerdrop", "word-kd@2"]
    assert found[-3:] == ["r-drop", "deep-supervision", "selfteach"]
    found = [row[0] for row in rows("system", METHOD="all", STUDENTS="2 last2 0+2x+0")]
    assert found[:4] == ["plain", "plain@2", "plain@2x1", "layerdrop"]


def test_all_methods_of_classifiers(rows, tmp_path):
    table = tmp_path / "table.tsv"
    table.touch()
    settings = {"corpus": "classify-mine", "TSV": table, "LENPENS": "0.6 1"}
    assert [row[0] for row in rows("system", METHOD="all", STUDENTS="2 1", **settings)] == [
        *("plain", "plain@2", "plain@1", "distillation@2", "distillation@1"),
        *("deep-supervision", "selfteach"),
    ]


def test_a_classifier_is_no_student_of_itself(rows, tmp_path):
    (tmp_path / "table.tsv").touch()
    given = {"corpus": "classify-mine", "TSV": tmp_path / "table.tsv", "LAYERS": "4"}
    with pytest.raises(settings.SettingsError, match="METHOD=selfteach=4-2: 4 is the whole model"):
        rows("flags", METHOD="selfteach=4-2", **given)


def test_what_classifiers_have_not(rows, tmp_path, monkeypatch):
    (tmp_path / "table.tsv").touch()
    given = {"TSV": tmp_path / "table.tsv", "STUDENTS": "2x1 2", "SHIP": "2"}
    given |= {"ENGINES": "fairseq ctranslate2", "REFINE": "r3f", "REFINE_UPDATES": "10"}
    given |= {"METHOD": "selfteach=3x2", "LONGEST": "none"}
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))
    found = [*check.faults(settings.read("classify-mine"), Machine())]
    for begin in (
        "'2x1': a classifier has an encoder alone: write 2",
        "'3x2': a classifier has an encoder alone: write 3",
        "LONGEST=none: write a number of pieces",
        "ENGINES=",
        "REFINE=r3f: is",
    ):
        assert any(fault.startswith(begin) for fault in found), found


@pytest.mark.parametrize("students, ship", [("4x1", "4x1"), ("3 2", "2"), ("4x3 3", "3")])
def test_a_student_that_there_is_is_shipped(students, ship, monkeypatch):
    monkeypatch.setenv("STUDENTS", students)
    found = settings.read("demo")
    assert found.ship == ship and not [*check.faults(found, Machine())]


@pytest.mark.parametrize("name", ["METHOD", "SEEDS", "STUDENTS", "ENGINES"])
def test_what_stands_there_twice(name, monkeypatch):
    """Or a table would count a model as two seeds."""
    word = {"METHOD": "plain", "ENGINES": "fairseq"}.get(name, "2")
    monkeypatch.setenv(name, f"{word} {word}")
    (fault,) = check.faults(settings.read("demo"), Machine())
    assert fault == f"{name}: {word} stands there twice: leave one out"


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("STUDENTS", "2 2x2", "STUDENTS: 2x2 stands there twice"),
        ("METHOD", "selfteach=4x3-2-4x3", "METHOD=selfteach=4x3-2-4x3: 4x3 stands there twice"),
        ("METHOD", "selfteach=4-2-4x4", "METHOD=selfteach=4-2-4x4: 4x4 stands there twice"),
    ],
)
def test_the_same_layers_stand_there_twice(name, value, message, monkeypatch):
    monkeypatch.setenv(name, value)
    (fault,) = check.faults(settings.read("multi30k-de"), Machine())
    assert fault == f"{message}: leave one out"


def test_texts_are_as_long_as_a_bert_takes(tmp_path, monkeypatch):
    (tmp_path / "table.tsv").touch()
    monkeypatch.setenv("TSV", str(tmp_path / "table.tsv"))
    monkeypatch.setenv("MODEL", str(berts.write(tmp_path / "bert")))
    assert settings.read("classify-mine").longest_text == "20"
    monkeypatch.setenv("LONGEST", "21")
    with pytest.raises(settings.SettingsError, match=r"LONGEST=21: .*bert has 20 positions: "):
        settings.read("classify-mine")


@pytest.mark.parametrize(
    "word", ["EPOCHS=abc", "EPOCHS=2.5", "EPOCHS=0", "LAYERS=6x6", "LR=abc", "LR=-1"]
)
def test_what_is_calculated_with_is_a_number(word, tmp_path, monkeypatch):
    (tmp_path / "table.tsv").touch()
    monkeypatch.setenv("TSV", str(tmp_path / "table.tsv"))
    monkeypatch.setenv(*word.split("="))
    with pytest.raises(settings.SettingsError, match=f"{word}: write a number"):
        settings.read("classify-mine")


def test_students_of_any_layers(rows):
    options = {"METHOD": "selfteach plain", "STUDENTS": "last2x2 0+2x0+2 last9x1 last4"}
    with pytest.raises(settings.SettingsError, match="no student of last9x1 layers"):
        rows(**options)
    options["STUDENTS"] = "last2x2 0+2x0+2 last4"
    assert "--student-layers last2x2,0+2x0+2 " in f"{rows('flags', **options)[0][0]} "
    assert rows("--cuts", "depth", "keep", **options)[1:3] == [
        ["last2x2", "--layers last2x2"],
        ["0+2x0+2", "--layers 0+2x0+2"],
    ]


def test_a_run_with_students_of_its_own(rows):
    options = {"METHOD": "plain selfteach=4x2 selfteach=2-last2x2@3", "STUDENTS": "3"}
    found = [
        [name, cuts, flags.split()[-1]]
        for name, cuts, flags in rows("name", "cuts", "flags", **options)
    ]
    assert found[1:] == [
        ["selfteach=4x2-seed1", "4 4x2", "4x2"],
        ["selfteach=2-last2x2@3-seed1", "3 2 last2x2", "2,last2x2"],
    ]
    itself = rows("cuts", "flags", METHOD="selfteach=4-4x2", STUDENTS="4 3")
    assert [(cuts, flags.split()[-1]) for cuts, flags in itself] == [("4 4x2", "4,4x2")]
    assert rows("--cuts", "depth", METHOD="selfteach=4x1", SHIP="4x1") == [["4"], ["4x1"]]
    for word, message in (
        ("plain=2", "METHOD=plain=2: plain trains no students: leave out what is behind ="),
        ("gradual=2", "METHOD=gradual=2: gradual trains no students"),
        ("selfteach=2-x", "METHOD=selfteach=2-x: write plain, or plain@3 "),
        ("selfteach=", "METHOD=selfteach=: write plain, or plain@3 "),
        ("selfteach=5", "a model of LAYERS=4 has no student of 5 layers"),
        ("shared-dropout=4-2", "METHOD=shared-dropout=4-2: 4 is the whole model, which learns "),
    ):
        with pytest.raises(settings.SettingsError, match=re.escape(message)):
            rows(METHOD=word)


def test_settings_and_flags_of_the_first_release(rows, tmp_path, monkeypatch):
    own = tmp_path / "methods"
    own.mkdir()
    (own / "mine.flags").write_text(FLAGS)
    (own / "plain.flags").write_text("--criterion label_smoothed_cross_entropy\n")
    monkeypatch.setattr(methods, "RECIPES", tmp_path)
    (tmp_path / "settings.sh").write_text(SETTINGS)
    found = rows("name", "data", "budget", "cuts", "flags", SETTINGS=tmp_path / "settings.sh")
    mine = f"{PLAIN} --encoder-layerdrop 0.2 --seed-of-mine {{teacher}}"
    assert found == [
        ["plain-seed1", "data", "--max-update 40", "6x3 3 2x1", PLAIN],
        ["plain-seed2", "data", "--max-update 40", "6x3 3 2x1", PLAIN],
        ["mine@3-seed1", "translated-seed1", "--max-update 40", "3", mine],
        ["mine@3-seed2", "translated-seed2", "--max-update 40", "3", mine],
    ]
    *_, (depth, keep) = rows("--cuts", "depth", "keep", METHOD="mine")
    assert (depth, keep) == ("2x1", "--keep-encoder 0,3 --keep-decoder 0")


def test_the_recipes_own_methods_say_what_they_need_without_comments():
    for name in ("layerdrop", "seq-kd"):
        assert "#" not in (ROOT / f"recipes/methods/{name}.flags").read_text()
    assert methods.find("layerdrop", "demo").cuts_every_other_layer
    assert methods.find("seq-kd", "demo").has_teacher
    assert not methods.find("plain", "demo").has_teacher


def test_a_property_that_no_method_has_is_refused(tmp_path):
    (tmp_path / "mine.flags").write_text("cut: at random\n--criterion r_drop\n")
    with pytest.raises(ValueError, match=r"mine.flags: 'cut: at random': write 'cut: every other"):
        methods.read(tmp_path / "mine.flags")


FAULTY = {
    **{"LAYERS": "six", "STUDENTS": "2,1", "METHOD": "plain@ magic", "SEEDS": "one"},
    **{"TYPES": "many", "AVERAGE": "yes", "LENPENS": "1,2", "PRECISION": "fp8"},
    **{"SPM_NORMALIZATION": "nfc", "WORK": "a,b", "KEEP_EVERY": "x", "NNODES": "two"},
    **{"ENGINES": "fairseq marian ctranslate2-int4", "SHIP": "7", "QUANTIZATION": "int4"},
    **{"WITHIN": "half", "TEST_SET": "test2"},
}
SAID = ["'six'", "'2,1'", "METHOD=plain@:", "METHOD=magic:", "'one'", "'many'", "'yes'", "'1,2'"]
SAID += ["PRECISION=fp8", "SPM_NORMALIZATION=nfc", "WORK=a,b", "KEEP_EVERY: 'x'", "NNODES: 'two'"]
SAID += [
    "ENGINES: 'marian'",
    "ENGINES: 'ctranslate2-int4'",
    "SHIP=7",
    "QUANTIZATION=int4",
    "WITHIN: 'half'",
    "TEST_SET=test2",
]


def test_all_that_is_wrong_is_said_at_once_before_anything_runs(tmp_path):
    result = subprocess.run(
        [ROOT / "recipes/run.sh", "multi30k-de"],
        env={**ENVIRONMENT, **FAULTY, "PATH": f"{PYTHONS}:{ENVIRONMENT['PATH']}"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 1 and not result.stdout and not any(tmp_path.iterdir())
    lines = result.stderr.splitlines()
    for words in SAID:
        assert sum(words in line for line in lines) == 1, words
    assert len(lines) == len(SAID)


def test_a_setting_as_an_argument():
    command = [ROOT / "recipes/truncate.sh", "multi30k-de", "METHOD=magic", "MULTI30K_DIR=x"]
    result = subprocess.run(
        command,
        env={**ENVIRONMENT, "METHOD": "plain", "PATH": f"{PYTHONS}:{ENVIRONMENT['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "METHOD=magic: there is no recipes/methods/magic.flags" in result.stderr


def faults_of_training(gpus, corpus="multi30k-de", **environment):
    machine = Machine(**environment)
    return list(check.faults_of_training(settings.read(corpus), machine, lambda: gpus))


def test_what_the_machine_lacks():
    assert faults_of_training(0) == []
    (fault,) = faults_of_training(2, nproc_per_node="4")
    assert fault == "NPROC_PER_NODE=4: this machine has 2 GPUs"
    (fault,) = faults_of_training(0, precision="bf16")
    assert fault == "PRECISION=bf16 needs a GPU"
    (fault,) = faults_of_training(0, "iwslt14-de")
    assert fault.startswith("there is no GPU, and on a CPU iwslt14-de trains for days")
    assert faults_of_training(0, "iwslt14-de", cpu="1") == []
    (fault,) = faults_of_training(1, nnodes="2", node_rank="1")
    assert fault.startswith("NNODES=2: say NODE_RANK")


def test_a_schedule_trains_on_one_machine(monkeypatch):
    monkeypatch.setenv("METHOD", "gradual")
    (fault,) = faults_of_training(0, nproc_per_node="2")
    assert fault.startswith("METHOD=gradual trains on one machine, and with several workers on its")
    assert faults_of_training(2, nproc_per_node="2") == []


def test_how_workers_are_started():
    one = Machine()
    assert workers.launch(one, 1) == [] and workers.numbers(one, 1) == []
    assert workers.workers(one, 0) == ["--distributed-world-size", "1"]
    assert workers.numbers(one, 0) == ["--cpu"]
    four = Machine(nproc_per_node="2", nnodes="2", precision="bf16")
    words = workers.launch(four, 2)
    assert words[:5] == ["torchrun", "--nnodes", "2", "--nproc-per-node", "2"]
    assert words[-2] == 'exec "$@" --distributed-rank "$RANK" --device-id "$LOCAL_RANK"'
    assert workers.workers(four, 2)[:2] == ["--distributed-world-size", "4"]
    assert workers.workers(four, 2)[-4:] == [
        *("--distributed-backend", "nccl", "--ddp-backend", "pytorch_ddp")
    ]
    assert workers.numbers(four, 2) == ["--bf16"]
