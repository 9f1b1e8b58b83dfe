"""What recipes/compare.sh has each method do, with stand-ins for all commands that take time."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, USER_DIR
from fairseq import options
from stand_ins import Comparison, after, between, of

sys.path.insert(0, str(ROOT / "recipes"))

import methods


@pytest.fixture
def comparison(project):
    return Comparison(project)


def test_all_methods_from_nothing_to_the_table(comparison):
    settings = {"LAYERS": "4", "STUDENTS": "3 2", "SEEDS": "7"}
    output, calls = comparison.run(**settings)
    trained = {after(call, "--save-dir"): call for call in of(calls, "fairseq-train")}
    students = [f"{name}@{n}" for name in ("plain", "word-kd", "seq-kd") for n in (3, 2)]
    systems = ["plain", "layerdrop", "r-drop", "deep-supervision", "selfteach", *students]
    assert set(trained) == {f"{system}-seed7" for system in systems}

    # One budget, and the seed and the depth that the name says.
    for name, call in trained.items():
        assert (after(call, "--max-update"), after(call, "--seed")) == ("6", "7")
        assert after(call, "--encoder-layers") == (name.split("@")[1][0] if "@" in name else "4")
        assert not any("{" in word or "#" in word for word in call)

    # The distilled learn from the plain run of their seed, after that.
    assert next(iter(trained)) == "plain-seed7"
    for depth in (3, 2):
        assert after(trained[f"word-kd@{depth}-seed7"], "--teacher") == "plain-seed7-4.pt"
        assert trained[f"seq-kd@{depth}-seed7"][1] == "translated-seed7"
    (distilled,) = of(calls, "selfteach", "distil")
    assert distilled[2:4] == ["plain-seed7-4.pt", "data"]
    assert {call[1] for name, call in trained.items() if "seq-kd" not in name} == {"data"}

    # LayerDrop keeps every other layer, all others the first; students are cut no further.
    cut = {after(call, "-o"): call for call in of(calls, "selfteach", "truncate")}
    assert between(cut["layerdrop-seed7-2.pt"], "--keep-encoder", "-o") == [
        *("0,2", "--keep-decoder", "0,2")
    ]
    assert after(cut["layerdrop-seed7-3.pt"], "--keep-encoder") == "0,1,2"
    assert after(cut["plain-seed7-3.pt"], "--layers") == "3"
    assert len(cut) == 5 * 3 + 6
    assert "plain@3-seed7-3.pt" in cut and "plain@3-seed7-2.pt" not in cut

    # All are scored alike; what the teacher cost counts.
    scored = {after(call, "-o"): call for call in of(calls, "selfteach", "score")}
    assert len(scored) == len(cut)
    assert {after(call, "--lenpen") for call in scored.values()} == {"0.6,1,1.4,1.8"}
    costs = {
        record: [cost.removesuffix("/cost.json") for cost in between(call, "--cost", "--")]
        for record, call in scored.items()
    }
    assert costs["tuned/plain-seed7-2.json"] == ["plain-seed7"]
    assert costs["tuned/word-kd@2-seed7-2.json"] == ["word-kd@2-seed7", "plain-seed7"]
    assert costs["tuned/seq-kd@2-seed7-2.json"] == [
        *("seq-kd@2-seed7", "plain-seed7", "translated-seed7")
    ]
    (test,) = of(calls, "selfteach", "significance")
    assert between(test, "significance", "--references") == list(scored)
    assert after(test, "--references") == "text/test.en"
    assert (comparison.work / "compare.md").read_text() == "| the table |\n\n| the table |\n"
    assert output.endswith("\n\n| the table |\n")

    # Finished runs are kept; other methods only add to them.
    _, again = comparison.run(**settings)
    assert [call[1] for call in again] == ["report", "report", "significance"]
    assert (comparison.work / "tuned/logs/train-plain-seed7.log").exists()  # for the page
    _, more = comparison.run(METHOD="plain plain@1", **settings)
    assert [after(call, "--save-dir") for call in of(more, "fairseq-train")] == ["plain@1-seed7"]


def test_what_has_the_size_of_the_full_model(comparison):
    """Their first layers are cut out all the same, as the plain model's are."""
    settings = {"LAYERS": "4", "STUDENTS": "2", "SEEDS": "7"}
    _, calls = comparison.run(METHOD="plain self-kd pruning", **settings)
    plain, self_kd, pruning = of(calls, "fairseq-train")
    for call in (plain, self_kd, pruning):
        assert (after(call, "--encoder-layers"), after(call, "--max-update")) == ("4", "6")
    assert after(self_kd, "--teacher") == "plain-seed7-4.pt" and self_kd[1] == "data"
    assert [after(pruning, f"--pruning-{name}-update") for name in ("start", "end")] == ["1", "4"]
    assert after(pruning, "--validate-after-updates") == "4"

    cut = [after(call, "-o") for call in of(calls, "selfteach", "truncate")]
    systems = ("plain", "self-kd", "pruning")
    assert sorted(cut) == sorted(f"{name}-seed7-{n}.pt" for name in systems for n in (4, 2))
    scored = {after(call, "-o"): call for call in of(calls, "selfteach", "score")}
    costs = between(scored["tuned/self-kd-seed7-4.json"], "--cost", "--")
    assert costs == ["self-kd-seed7/cost.json", "plain-seed7/cost.json"]


def test_another_teacher_means_other_students(comparison):
    settings = {"METHOD": "plain word-kd@1 seq-kd@1 self-kd layerdrop", "SEEDS": "1"}
    comparison.run(**settings)
    flags = comparison.project.folder / "recipes/methods/plain.flags"
    flags.write_text(flags.read_text() + "--clip-norm 1\n")
    output, calls = comparison.run(**settings)
    anew = [after(call, "--save-dir") for call in of(calls, "fairseq-train")]
    assert anew == ["plain-seed1", "word-kd@1-seed1", "seq-kd@1-seed1", "self-kd-seed1"]
    assert "== distil-seed1: its settings or inputs have changed, starts anew" in output


@pytest.mark.parametrize("method", ["word-kd@1", "seq-kd@1", "self-kd"])
def test_a_student_without_its_teacher_is_refused(comparison, method):
    comparison.run(script="prepare.sh")
    output, calls = comparison.run(code=1, script="train.sh", METHOD=method)
    message = r"distil.sh: METHOD=(word|seq|self)-kd learns from the plain model of the same seed: "
    assert re.match(message, output) and output.count("\n") == 1 and not calls


def test_what_is_no_length_penalty_or_method_is_refused(comparison):
    for settings, message in (
        ({"LENPENS": "1,2"}, "LENPENS: '1,2' is no number"),
        ({"METHOD": "magic@1"}, "METHOD=magic: there is no recipes/methods/magic.flags"),
    ):
        output, _ = comparison.run(code=1, script="score.sh", **settings)
        assert message in output and output.count("\n") == 1


def test_records_stand_beside_each_other(comparison):
    """Scoring without the choice of a length penalty takes none of what was scored with one."""
    settings = {"METHOD": "plain plain@1", "SEEDS": "1"}
    comparison.run(**settings)
    _, calls = comparison.run(script="run.sh", **settings)
    records = [after(call, "-o") for call in of(calls, "selfteach", "score")]
    assert records == ["plain-seed1-3.json", "plain-seed1-1.json", "plain@1-seed1-1.json"]
    assert all("--lenpen" not in call for call in of(calls, "selfteach", "score"))


PLAIN_CRITERION = "label_smoothed_cross_entropy"


def parsed(words):
    return options.parse_args_and_arch(options.get_training_parser(), input_args=words)


def parsed_here(comparison, call):
    return parsed([word.replace(str(comparison.project.folder), str(ROOT)) for word in call[1:]])


@pytest.mark.parametrize(
    ("settings", "norm", "rate", "updates"),
    [
        ("scarce", True, "4e-3", "2000"),
        ("post-norm", False, "2e-3", "2000"),
        ("scarce-long", True, "4e-3", "5000"),
    ],
)
def test_the_settings_for_scarce_text(comparison, settings, norm, rate, updates):
    path = ROOT / f"recipes/{settings}.sh"
    _, calls = comparison.run(
        script="run.sh", corpus="multi30k-de", SETTINGS=str(path), METHOD="plain"
    )
    (text,) = (call for call in calls if "multi30k.py" in call[1])
    assert after(text, "--pairs") == "10000"
    (call,) = of(calls, "fairseq-train")
    args = parsed_here(comparison, call)
    assert args.encoder_normalize_before == args.decoder_normalize_before == norm
    assert args.lr == [float(rate)]
    assert (args.max_update, args.total_num_update) == (int(updates), updates)


def test_what_was_made_with_another_normalization_is_never_mixed(comparison):
    both = {"script": "run.sh", "METHOD": "plain selfteach"}
    comparison.run(**both, SPM_NORMALIZATION="nmt_nfkc")
    output, calls = comparison.run(script="run.sh", METHOD="selfteach")
    (subwords,) = (call for call in calls if "subwords.py" in call[1])
    assert after(subwords, "--normalization") == "identity"
    assert "== text: finished already, kept" in output
    for stage in ("subwords", "binarise", "train-selfteach-seed1", "score-selfteach-seed1-1"):
        assert f"== {stage}: its settings or inputs have changed, starts anew" in output

    # The page is of all that is scored: so what is left of the plain run is not to be there.
    assert of(calls, "selfteach", "report", str(comparison.work))
    for left in ("plain-seed1-3.json", "plain-seed1-1.json", "logs/train-plain-seed1.log"):
        path = comparison.work / left
        assert f"== work/bitext-mine/{left} is of what has been made anew since" in output
        assert not path.exists() and (path.parent / "old" / path.name).exists()
    there = {path.name for path in comparison.work.glob("*.json")}
    assert there == {"selfteach-seed1-3.json", "selfteach-seed1-1.json"}
    assert "put aside" not in comparison.run(script="run.sh", METHOD="selfteach")[0]

    comparison.run(script="prepare.sh", SPM_NORMALIZATION="nfkc")
    output, _ = comparison.run(script="report.sh", METHOD="selfteach", code=1)
    assert "is from before binarise was run anew: run it again" in output
    comparison.run(**both)


def test_what_was_cut_out_is_trained_on_and_scored_beside_it(comparison):
    settings = {
        **{"script": "run.sh", "METHOD": "selfteach plain@2", "LAYERS": "4", "STUDENTS": "3 2"},
        **{"REFINE": "r3f plain", "REFINE_DEPTHS": "2 3x3", "REFINE_UPDATES": "40"},
    }
    _, calls = comparison.run(**settings)
    trained = {after(call, "--save-dir"): call for call in of(calls, "fairseq-train")}
    refined = {
        f"{system}+{name}-seed1-{depth}": f"{system}-seed1-{depth}"
        for system, depth in (("selfteach", 3), ("selfteach", 2), ("plain@2", 2))
        for name in ("r3f", "plain")
    }
    assert set(trained) == {"selfteach-seed1", "plain@2-seed1", *refined}
    for name, start in refined.items():
        assert after(trained[name], "--finetune-from-model") == f"{start}.pt"
        args = parsed_here(comparison, trained[name])
        assert args.criterion == ("r3f_translation" if "+r3f" in name else PLAIN_CRITERION)
        assert str(args.encoder_layers) == str(args.decoder_layers) == name[-1]
        assert (args.lr, args.lr_scheduler) == ([0.001], "polynomial_decay")
        assert (args.warmup_updates, args.max_update) == (4, 40)
        assert after(trained[name], "--total-num-update") == "40"
    cut = {after(call, "-o"): call for call in of(calls, "selfteach", "truncate")}
    assert cut["selfteach+r3f-seed1-2.pt"][2:5] == [
        *("selfteach+r3f-seed1-2/checkpoint_best.pt", "--layers", "2")
    ]
    scored = {after(call, "-o"): call for call in of(calls, "selfteach", "score")}
    call = scored["plain@2+r3f-seed1-2.json"]
    assert call[2] == "plain@2+r3f-seed1-2.pt" and "system=plain@2+r3f" in call
    costs = ["plain@2-seed1/cost.json", "plain@2+r3f-seed1-2/cost.json"]
    assert between(call, "--cost", "--") == costs
    report = of(calls, "selfteach", "report")[0]
    assert set(scored) <= set(report) and len(scored) == 4 + len(refined)

    # Kept; and anew when what it goes on from is, in whose place its record would be wrong.
    _, again = comparison.run(**settings)
    assert [call[1] for call in again] == ["report", "report"]
    flags = comparison.project.folder / "recipes/methods/selfteach.flags"
    flags.write_text(flags.read_text() + "--clip-norm 1\n")
    _, anew = comparison.run(**settings)
    trained_anew = {after(call, "--save-dir") for call in of(anew, "fairseq-train")}
    assert trained_anew == {name for name in trained if name.startswith("selfteach")}
    # The test of significance is of what is refined, too.
    _, compared = comparison.run(**{**settings, "script": "compare.sh", "SEEDS": "1"})
    (test,) = of(compared, "selfteach", "significance")
    assert "tuned/selfteach+r3f-seed1-2.json" in test


def test_what_learns_from_a_teacher_is_trained_on_too(comparison):
    """A teacher is made for one method, which alone may have no model of REFINE_DEPTHS."""
    settings = {"LAYERS": "4", "STUDENTS": "2", "REFINE": "r3f", "REFINE_UPDATES": "40"}
    _, calls = comparison.run(script="run.sh", METHOD="plain word-kd@3", SEEDS="3", **settings)
    trained = [after(call, "--save-dir") for call in of(calls, "fairseq-train")]
    assert trained == ["plain-seed3", "word-kd@3-seed3", "plain+r3f-seed3-2"]


def test_the_stage_alone_refines_the_smallest_student_in_all_ways(comparison):
    comparison.run(script="run.sh", METHOD="selfteach")
    _, calls = comparison.run(script="refine.sh", METHOD="selfteach")
    names = [after(call, "--save-dir") for call in of(calls, "fairseq-train")]
    own = comparison.project.folder / "recipes/refine/own.flags"
    own.write_text("--criterion r3f_translation --lr 7\n")
    _, of_own = comparison.run(script="refine.sh", METHOD="selfteach", REFINE="own")
    (call,) = of(of_own, "fairseq-train")
    assert parsed_here(comparison, call).lr == [7.0]
    ways = ("plain", "r3f", "intra-distillation")
    assert names == [f"selfteach+{way}-seed1-1" for way in ways]
    output, calls = comparison.run(script="refine.sh", METHOD="selfteach", NNODES="2", code=1)
    assert "refine.sh: trains on one machine: leave NNODES out" in output and not calls


def test_a_name_with_spaces(comparison):
    """Every stage, by make; the commands themselves are run in a folder with a space elsewhere."""
    folder = comparison.project.folder
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("setup.py", "constraints.txt", "requirements.txt", ".venv/.ready"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    environment = {**comparison.project.environment, "CALLS": str(comparison.calls_path)}
    for words in (("bitext", "NAME=mein text"), ("compare-bitext-mein text",)):
        command = ["make", *words, "METHOD=plain"]
        result = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
    assert [path.name for path in (folder / "work").iterdir()] == ["bitext-mein text"]
    assert {"report.md", "compare.md"} < {path.name for path in folder.glob("work/*/*")}


def test_a_name_with_spaces_but_without_quotes(comparison):
    for script, words in (("run.sh", "'text' is no stage"), ("train.sh", "name one corpus, with")):
        process = comparison.project.start("bitext-mein", "text", script=script)
        output = process.communicate()[0]
        assert process.returncode == 1 and words in output and output.count("\n") == 1


def test_the_languages_of_packed_text(comparison):
    folder = comparison.project.folder
    for name in ("train.xx", "train.en"):
        for end in (".bz2", ".GZ", ".zip"):
            shutil.copy(folder / name, folder / f"{name}{end}")
    for source, target in (("xx.bz2", "en.GZ"), ("xx.zip", "en")):
        files = {"SRC": f"{folder}/train.{source}", "TGT": f"{folder}/train.{target}"}
        _, calls = comparison.run(script="prepare.sh", **files)
        (text,) = (call for call in calls if call[1].endswith("bitext.py"))
        assert text[2:4] == ["xx", "en"]


FLAGS = sorted(path for path in (ROOT / "recipes").glob("*/*.flags") if path.stem != "gradual")


@pytest.mark.parametrize("path", FLAGS, ids=lambda path: path.stem)
def test_fairseq_knows_every_flag_of_a_method(path):
    flags = [methods.fill_in(flag, ("2",), "40") for flag in methods.read(path).flags]
    words = " ".join(flags).format(teacher="plain.pt").split()
    model = ("--user-dir", str(USER_DIR), "--arch", "transformer_selfteach")
    args = parsed(["data", *model, *words])
    assert args.criterion == after(words, "--criterion")
