"""The real command lines on a tiny corpus: train, resume, truncate, translate, score."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ENVIRONMENT, ROOT, USER_DIR, fairseq, make_text, python, run, selfteach, train
from fairseq import checkpoint_utils

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.evaluation.score import best_of
from selfteach_fairseq.programs.generate import generating


def losses(log, tag):
    return re.findall(rf"{tag} \| epoch .*", log)


@pytest.fixture(scope="module")
def student(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "student.pt"
    result = selfteach("truncate", trained / "checkpoint_best.pt", "--layers", "2x1", "-o", path)
    assert re.search(r"before +4x3 +[\d,]+ +[\d,]+\nafter +2x1 +[\d,]+ +[\d,]+", result.stdout)
    return path


def translations(output):
    """fairseq's hypotheses in the order of the data."""
    lines = re.findall(r"^H-(\d+)\t(\S+)\t(.*)$", output, flags=re.MULTILINE)
    return [text for _, _, text in sorted(lines, key=lambda line: int(line[0]))]


STOCK = """
import sys
from pathlib import Path
from fairseq.models.transformer import TransformerModel
from fairseq_cli import generate, interactive
student, data, lines = sys.argv[1:]
words = [data, "--path", student, "--beam", "4", "--required-batch-size-multiple", "1"]
sys.argv[1:] = words
generate.cli_main()
print("of lines:", flush=True)
sys.argv[1:] = [*words, "--input", lines, "--source-lang", "xx", "--target-lang", "en"]
interactive.cli_main()
folder, name = Path(student).parent, Path(student).name
model = TransformerModel.from_pretrained(str(folder), name, data_name_or_path=data)
assert model.translate("w1 w2 w3", beam=2)
assert "selfteach_fairseq" not in sys.modules
"""


def test_the_cut_model_translates_with_stock_fairseq_alone(data, student):
    """No user-dir, no environment variable, and this package out of reach."""
    result = run(sys.executable, "-I", "-c", STOCK, student, data, data.parent / "test.xx")
    generated, interactive = map(translations, result.stdout.split("of lines:"))
    assert len(generated) == 21 and interactive == generated


def test_the_cut_model_is_trained_on_by_stock_fairseq(data, student, tmp_path):
    tuned = fairseq(
        *("train", data, "--finetune-from-model", student, "--arch", "transformer_tiny", "--cpu"),
        *("--encoder-layers", 2, "--decoder-layers", 1, "--encoder-embed-dim", 16),
        *("--encoder-ffn-embed-dim", 16, "--share-all-embeddings", "--save-dir", tmp_path / "run"),
        *("--optimizer", "adam", "--lr", 1e-3, "--max-update", 1, "--max-tokens", 256),
    )
    assert f"Loaded checkpoint {student}" in tuned.stdout


def test_the_cut_model_is_plain_data_without_the_optimizer(trained, student):
    state = torch.load(student, weights_only=True)

    def kinds(value):
        if isinstance(value, dict):
            return set().union(*map(kinds, value.values()), {type(value)})
        if isinstance(value, list):
            return set().union(*map(kinds, value), {type(value)})
        return {type(value)}

    assert kinds(state) <= {dict, list, str, int, float, bool, type(None), torch.Tensor}
    assert "last_optimizer_state" not in state
    assert "selfteach" not in json.dumps(state["cfg"])
    assert student.stat().st_size < (trained / "checkpoint_best.pt").stat().st_size / 3


def test_scores_of_student_and_full_model(data, trained, student, tmp_path):
    full = tmp_path / "full.json"
    selfteach("score", trained / "checkpoint_best.pt", data, "-o", full, "--beam", 2)
    small = tmp_path / "student.json"
    reference = data.parent / "test.en"
    printed = selfteach(
        *("score", student, data, "-o", small, "--references", reference),
        *("--repeat", 3, "--", "--max-len-b", 20),
    )
    records = [json.loads(path.read_text()) for path in (full, small)]
    assert [record["sentences"] for record in records] == [21, 21]
    assert [record["speed_runs"] for record in records] == [1, 3]
    assert [(r["encoder_layers"], r["decoder_layers"]) for r in records] == [(4, 3), (2, 1)]
    assert records[0]["parameters"] > records[1]["parameters"]
    assert records[1]["bytes"] == student.stat().st_size
    assert all(r["bleu_signature"].startswith("nrefs:1") for r in records)
    assert all(0 < r["chrf"] <= 100 and r["sentences_per_second"] > 0 for r in records)
    assert (records[0]["beam"], records[1]["beam"]) == (2, 5)
    assert len((tmp_path / "student.hyp.txt").read_text().splitlines()) == 21
    assert "| student | " in printed.stdout

    table = selfteach("report", full, small, "--sentences", 3, "--source", data.parent / "test.xx")
    rows = table.stdout.splitlines()
    assert max(map(len, rows[:4])) <= 100
    assert rows[2].startswith("| full ") and rows[3].startswith("| student ")
    assert table.stdout.count("\nsource ") == 3


def test_one_search_serves_every_length_penalty(data, student, monkeypatch):
    """Of a model that ends some hypotheses early and some late."""
    monkeypatch.setattr(sys, "executable", python())
    model = checkpoint_utils.load_model_ensemble([str(student)])[0][0]
    torch.manual_seed(4)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.8)
    noisy = replace(Checkpoint.read(student).stock(), weights=model.state_dict())
    options = ("--beam", "4", "--max-len-b", "20")
    with generating(noisy, data, ("xx", "en")) as generate:
        once = generate("test", [*options, "--lenpen", "0", "--nbest", "4"]).hypotheses
        said = []
        for lenpen in (0, 3):
            translations = generate("test", [*options, "--lenpen", str(lenpen)]).translations
            assert translations == {n: best_of(once[n], lenpen).text for n in once}
            said.append(translations)
    assert said[0] != said[1]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d, c: (c, d / "nowhere"), "has no dict."),
        (lambda d, c: (c.with_name("missing.pt"), d), "No such file"),
    ],
)
def test_score_says_what_does_not_fit(data, student, tmp_path, change, message):
    checkpoint, folder = change(data, student)
    result = selfteach("score", checkpoint, folder, "-o", tmp_path / "r.json", check=False)
    assert result.returncode == 1 and message in result.stderr
    assert len(result.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_score_refuses_a_dictionary_of_another_size(data, student, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(data, other)
    for language in ("xx", "en"):
        with open(other / f"dict.{language}.txt", "a") as dictionary:
            dictionary.write("another 1\n")
    result = selfteach("score", student, other, "-o", tmp_path / "r.json", check=False)
    assert result.returncode == 1
    assert re.search(r"dict.xx.txt: has \d+ types and the checkpoint \d+", result.stderr)


def test_score_tells_why_fairseq_failed(data, student, tmp_path):
    result = selfteach(
        *("score", student, data, "-o", tmp_path / "r.json", "--", "--no-such-option"), check=False
    )
    assert result.returncode == 1 and not list(tmp_path.iterdir())
    assert "unrecognized arguments: --no-such-option" in result.stderr


def test_score_refuses_options_that_its_record_would_not_tell(student, data, tmp_path):
    words = ("score", student, data, "-o", tmp_path / "r.json", "--", "--lenpen", 2)
    result = selfteach(*words, check=False)
    assert result.returncode == 1 and not list(tmp_path.iterdir())
    assert "--lenpen is not for fairseq-generate here" in result.stderr


def test_words_after_dashes_are_for_commands_that_run_fairseq(student, tmp_path):
    words = ("truncate", student, "--layers", 1, "-o", tmp_path / "cut.pt", "--", "--fp16")
    result = selfteach(*words, check=False)
    assert result.returncode == 2 and not list(tmp_path.iterdir())
    assert "truncate takes no options of fairseq's" in result.stderr


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_terminated_score_leaves_nothing_behind(data, student, tmp_path, end):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "selfteach_fairseq.cli", "score", student, data]
    process = subprocess.Popen(
        [*command, "-o", tmp_path / "r.json", "--repeat", "50"],
        env={**ENVIRONMENT, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        start_new_session=True,
        # What runs the tests may ignore Ctrl-C, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        text=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and not children.read_text():
        time.sleep(0.02)
    time.sleep(0.5)  # until the child runs its own program
    process.send_signal(end)
    _, errors = process.communicate()
    assert process.returncode == (-end if end == signal.SIGINT else 128 + end)
    assert "Traceback" not in errors
    assert not list(temporary.rglob("*.pt"))
    with pytest.raises(ProcessLookupError):  # the session has no other process
        os.killpg(process.pid, 0)


def test_what_is_logged(data, tmp_path):
    log = train(
        *(data, tmp_path, "--student-layers", "2x1,3", "--log-interval", 1),
        *("--best-checkpoint-metric", "student_2x1_nll_loss"),
    ).stdout
    figures = r"loss=?.*nll_loss.*kl.*student_2x1_nll_loss.*student_3x3_nll_loss.*student_3x3_ppl"
    assert re.search(rf"train_inner .*{figures}", log)
    (first, _) = losses(log, r"valid")
    assert re.search(figures, first)
    assert "best_student_2x1_nll_loss" in losses(log, "valid")[1]


def test_bleu_of_a_student_in_validation_and_resuming_after_it(data, tmp_path):
    """fairseq stores numpy scalars with --eval-bleu, which the safe loader has to take."""
    bleu = (
        *("--task", "translation_selfteach", "--eval-bleu", "--eval-bleu-args", '{"beam": 1}'),
        *("--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric"),
        *("--student-layers", "last2x1"),
    )
    full = train(data, tmp_path / "full", *bleu, "--max-epoch", 1).stdout
    small = train(
        data, tmp_path / "small", *bleu, "--max-epoch", 1, "--eval-bleu-student", "last2x1"
    ).stdout
    assert all("| bleu " in losses(log, "valid")[0] for log in (full, small))
    validation = fairseq(
        *("validate", data, "--user-dir", USER_DIR, "--cpu", "--max-tokens", 256, *bleu[:5]),
        *("--eval-bleu-student", "last2x1", "--path", tmp_path / "small/checkpoint_last.pt"),
        *("--required-batch-size-multiple", 1),
    )
    said = [re.search(r"\| bleu ([\d.]+)", text)[1] for text in (validation.stdout, small)]
    assert said[0] == said[1] != re.search(r"\| bleu ([\d.]+)", full)[1]

    more = train(
        data, tmp_path / "small", *bleu, "--eval-bleu-student", "last2x1", "--max-epoch", 2
    )
    assert "Loaded checkpoint" in more.stdout and len(losses(more.stdout, "valid")) == 1
    output = tmp_path / "student.pt"
    selfteach(
        "truncate", tmp_path / "small/checkpoint_best.pt", "--layers", "last2x1", "-o", output
    )
    state = torch.load(output, weights_only=True)
    assert state["cfg"]["task"]["_name"] == "translation"
    result = train(*(data, tmp_path / "wrong", *bleu, "--eval-bleu-student", "9"), check=False)
    assert "choose 1 to 4" in result.stderr
    result = train(*(data, tmp_path / "wrong", *bleu, "--eval-bleu-student", "1"), check=False)
    assert (
        "--eval-bleu-student 1: is not trained: name one of --student-layers, last2x1"
        in result.stderr
    )


def test_a_resumed_run_goes_on_where_it_was(data, tmp_path):
    settings = ("--student-layers", "2x1", "--alpha-warmup-updates", 12, "--dropout", 0.1)
    train(data, tmp_path, *settings, "--max-epoch", 1)
    first = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
    resumed = train(data, tmp_path, *settings, "--max-epoch", 3, "--log-interval", 1).stdout
    last = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
    updates = [state["optimizer_history"][-1]["num_updates"] for state in (first, last)]
    assert updates[1] == 3 * updates[0]
    assert "epoch 001:" not in resumed and f"num_updates={updates[0] + 1}," in resumed
    assert len(losses(resumed, "valid")) == 2
    trained = (state["extra_state"]["previous_training_time"] for state in (first, last))
    assert next(trained) < next(trained)


def test_the_trainers_update_number_reaches_alpha(data, tmp_path):
    """fairseq tells it to the model only; a warm-up kept elsewhere would never start."""
    finals = []
    for name, start in (("never", 1000), ("soon", 3)):
        flags = ("--student-layers", "2x1", "--alpha-start-update", start, "--max-epoch", 1)
        train(data, tmp_path / name, *flags, "--dropout", 0)
        state = torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)
        assert state["optimizer_history"][-1]["num_updates"] > 3
        finals.append(state["model"]["encoder.layers.3.fc1.weight"])
    assert (finals[0] - finals[1]).abs().max() > 1e-4


def test_switched_off_it_trains_as_fairseqs_criterion_does(data, tmp_path):
    """Invariant 2 through the trainer."""
    sgd = ("--optimizer", "sgd", "--lr", 0.1, "--dropout", 0, "--max-epoch", 2)
    off = ("--student-layers", "2x1", "--alpha", 0, "--student-ce", 0)
    train(data, tmp_path / "ours", *sgd, *off)
    plain = ("--criterion", "label_smoothed_cross_entropy")
    train(data, tmp_path / "plain", *sgd, *plain)
    ours, theirs = (
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)["model"]
        for name in ("ours", "plain")
    )
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--student-layers", 9), "--student-layers 9: 9x9 asks for 9 encoder layers: choose 1 to"),
        (("--arch", "transformer_tiny"), "--arch transformer_tiny has no students"),
        (("--encoder-layerdrop", 0.2, "--student-layers", 2), "--encoder-layerdrop 0.2"),
        (("--student-layers", "last2", "--dropout", 0), "last2x2 is the whole model"),
        (("--student-layers", "last2,2"), "2x2 is the same layers as last2x2"),
        (("--student-layers", "last1x1,+1x1"), "+1x1 is the same layers as last1x1"),
        (("--student-layers", "0+2x1"), "has 2 encoder layers, 0 to 1"),
        (
            ("--task", "multilingual_translation", "--lang-pairs", "xx-en"),
            "--arch transformer_selfteach_tiny is no multilingual model",
        ),
    ],
)
def test_a_run_that_cannot_work_ends_before_it_starts(data, tmp_path, flags, message):
    base = [*("train", data, "--user-dir", USER_DIR, "--save-dir", tmp_path / "out", "--cpu")]
    base += ["--arch", "transformer_selfteach_tiny", "--optimizer", "adam", "--max-tokens", 100]
    base += ["--criterion", "label_smoothed_ce_selfteach", "--max-update", 1]
    result = fairseq(*base, *flags, check=False)
    assert result.returncode and message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out" / "crash.pt").exists()


def test_the_user_dir_works_from_the_checkout_and_from_elsewhere(data, tmp_path):
    assert selfteach("user-dir", cwd=tmp_path).stdout.strip() == str(USER_DIR)
    flags = ("--max-update", 1, "--disable-validation", "--no-save")
    for user_dir in ("selfteach_fairseq", USER_DIR):
        train(data, tmp_path, "--user-dir", user_dir, *flags, cwd=ROOT)


def test_importing_prints_nothing():
    result = run(sys.executable, "-c", "import selfteach_fairseq")
    assert result.stdout + result.stderr == ""


def test_the_old_release_of_fairseq_is_refused_in_one_line(tmp_path):
    """A stand-in for fairseq 0.12.2, which does not import on these Python versions."""
    package = tmp_path / "fairseq" / "models"
    package.mkdir(parents=True)
    (tmp_path / "fairseq" / "__init__.py").write_text("")
    (tmp_path / "fairseq" / "file_io.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "transformer.py").write_text("class TransformerConfig: dropout = 0.1\n")
    program = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; "
    result = run(sys.executable, "-c", program + "import selfteach_fairseq", check=False)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "newer fairseq than the 0.12.2 release" in line


def test_checkpoint_last_is_replaced_whole(data, tmp_path):
    """fairseq copies it in place; here a copy cut off half-way leaves the old file intact."""
    make_text(tmp_path)
    program = (
        "import shutil, sys; import selfteach_fairseq; from fairseq.file_io import PathManager\n"
        "def torn(source, target):\n"
        "    open(target, 'w').write('half'); raise KeyboardInterrupt\n"
        "shutil.copyfile = torn\n"
        "PathManager.copy('train.xx', 'checkpoint_last.pt', overwrite=True)\n"
    )
    (tmp_path / "checkpoint_last.pt").write_text("old")
    run(sys.executable, "-c", program, cwd=tmp_path, check=False)
    assert (tmp_path / "checkpoint_last.pt").read_text() == "old"
