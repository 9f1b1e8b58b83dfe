"""Classifiers by real command lines: trained, cut, scored, asked for labels."""

import csv
import json
import shutil
import subprocess
import sys

import pytest
import sentencepiece
import torch
from classifiers import LABELS, make_labelled_text, preprocess, train, train_command
from conftest import ENVIRONMENT, fairseq, python, run, selfteach, train_as_two

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.classes.classifier import Classifier
from selfteach_fairseq.classes.text import TextClassifier
from selfteach_fairseq.cli import main
from selfteach_fairseq.layers import parse_students

HEAD = "sentence_classification_head"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    make_labelled_text(folder)
    return preprocess(folder)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "log").write_text(train(data, folder, "--student-layers", "2,last3").stdout)
    return folder


@pytest.fixture(scope="module")
def cut(trained, tmp_path_factory):
    """Folders of the student 2 and the full model, as `classify` takes them, less its subwords."""
    folder = tmp_path_factory.mktemp("cut")
    for layers in ("2", "4", "last3"):
        output = folder / f"{layers}.pt"
        selfteach("truncate", trained / "checkpoint_best.pt", "--layers", layers, "-o", output)
    return folder


def last_figures(log, kind):
    line = [line for line in log.splitlines() if f"| {kind} |" in line][-1]
    return dict(part.split(" ", 1) for part in line.split(f"| {kind} | ")[1].split(" | "))


def test_training_says_how_good_each_model_is(trained):
    figures = last_figures((trained / "log").read_text(), "valid")
    for name in ("", "student_2_", "student_last3_"):
        assert {f"{name}{score}" for score in ("accuracy", "f1", "mcc")} <= figures.keys()
    assert float(figures["accuracy"]) > 100 / len(LABELS)
    assert {"loss", "kl", "nll_loss", "student_2_nll_loss"} <= figures.keys()


def test_the_best_checkpoint_can_be_a_students(data, tmp_path):
    metric = ("--best-checkpoint-metric", "student_2_mcc", "--student-layers", "2")
    log = train(data, tmp_path, *metric).stdout
    best = max(
        float(last_figures(line, "valid")["student_2_mcc"])
        for line in log.splitlines()
        if "| valid |" in line
    )
    state = torch.load(tmp_path / "checkpoint_best.pt", weights_only=False)
    assert state["extra_state"]["best"] == pytest.approx(best)


def test_stock_fairseq_loads_the_cut_student_and_predicts_as_it_did(data, trained, cut, tmp_path):
    """RobertaModel.from_pretrained, in a process that has not this package."""
    shutil.copytree(data, tmp_path / "folder")
    shutil.copy(cut / "2.pt", tmp_path / "folder/model.pt")
    script = """if True:
        import sys, torch
        from fairseq.models.roberta import RobertaModel
        roberta = RobertaModel.from_pretrained(sys.argv[1], bpe=None).eval()
        tokens = torch.tensor([[0, 7, 9, 5, 2], [0, 8, 2, 1, 1]])
        torch.save(roberta.predict(sys.argv[2], tokens, return_logits=True), sys.argv[3])
        assert "selfteach_fairseq" not in sys.modules
    """
    run(sys.executable, "-c", script, tmp_path / "folder", HEAD, tmp_path / "logits.pt")
    checkpoint = Checkpoint.read(trained / "checkpoint_best.pt")
    there = Classifier(checkpoint.stock(), data).task
    model = checkpoint.build(there, load_checkpoint_heads=True).eval()
    tokens = torch.tensor([[0, 7, 9, 5, 2], [0, 8, 2, 1, 1]])
    (student, *_) = parse_students("2", encoder_only=True)
    asked = {"classification_head_name": HEAD, "students": (student,)}
    with torch.no_grad():
        expected = model(tokens, **asked)[1]["students"][student]
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt"), expected, rtol=0, atol=1e-6)


def test_scores_are_a_record_and_a_table(data, cut, trained):
    output = cut / "two.json"
    about = ("--about", "system=selfteach", "seed=1")
    shown = selfteach("score", cut / "2.pt", data, "-o", output, *about, "--subset", "valid").stdout
    record = json.loads(output.read_text())
    lines = (trained / "log").read_text().splitlines()
    logged = [last_figures(line, "valid") for line in lines if "| valid |" in line]
    (of_best,) = (x for x in logged if x["num_updates"] == str(record["updates"]))
    for name in ("accuracy", "f1", "mcc"):  # fairseq's validation says the same
        assert record[name] == pytest.approx(float(of_best[f"student_2_{name}"]), abs=0.01)
    assert record["classes"] == 3 and record["encoder_layers"] == 2
    assert "decoder_layers" not in record and record["sentences"] == 20
    assert {"f1", "mcc", "bytes", "parameters", "sentences_per_second"} <= record.keys()
    labels = (cut / "two.hyp.txt").read_text().split()
    assert len(labels) == 20 and {*labels} <= {*LABELS}
    assert "accuracy" in shown and "BLEU" not in shown


def test_a_report_of_classifiers(data, cut, tmp_path):
    for layers in ("4", "2"):
        output = tmp_path / f"{layers}.json"
        selfteach("score", cut / f"{layers}.pt", data, "-o", output, "--about", "system=selfteach")
    shown = selfteach("report", tmp_path, "--within", 100).stdout
    assert "within 100 accuracy" in shown
    page = (tmp_path / "report.html").read_text()
    assert "accuracy against layers" in page and "BLEU" not in page.split("<main>")[1]


@pytest.fixture
def folder(data, cut, tmp_path):
    """All that `classify` takes; words are pieces."""
    there = tmp_path / "classifier"
    shutil.copytree(data, there)
    shutil.copy(cut / "2.pt", there / "model.pt")
    text = (data.parent / "train.text").read_text().split()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_prefix=str(there / "spm"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return there


def classify(folder, text, *flags, code=0):
    words = [python(), "-m", "selfteach_fairseq.cli", "classify", str(folder), *flags]
    found = subprocess.run(words, input=text, env=ENVIRONMENT, capture_output=True, text=True)
    assert found.returncode == code, found.stderr
    return found


def test_labels_for_raw_text(folder):
    shown = classify(folder, "w1 w2\nw5\n", "--probabilities").stdout.splitlines()
    assert len(shown) == 2
    for line in shown:
        label, *probabilities = line.split("\t")
        named = dict(word.split("=") for word in probabilities)
        assert named.keys() == {*LABELS} and label == max(named, key=lambda x: float(named[x]))
        assert sum(map(float, named.values())) == pytest.approx(1, abs=1e-3)
    plain = classify(folder, "w1 w2\nw5\n").stdout.splitlines()
    assert plain == [line.split("\t")[0] for line in shown]


def test_bad_lines_end_in_one(folder):
    found = classify(folder, "w1\n\nw2\n", code=1)
    assert found.stdout.count("\n") == 1
    assert found.stderr.splitlines()[-1].endswith("line 2: has no text")
    long = " ".join(["w1"] * 300)
    found = classify(folder, f"{long}\n")
    assert "1 lines were cut to 32 tokens" in found.stderr and found.stdout.strip() in LABELS
    assert "reads one" in classify(folder, "w1\tw2\n", code=1).stderr


def test_long_texts_are_cut_as_the_recipes_cut_them(folder):
    """Each to its share, and its end stays; so of a pair the second is read."""
    reader = TextClassifier(folder)
    end, long = 2, " ".join(["w1"] * 300)
    whole, cut = reader.parts("w1 w2"), reader.parts(long)
    assert whole[0] == cut[0] == 0 and whole[-1] == cut[-1] == end
    assert len(cut) == 32 and reader.cut == 1
    assert cut[1:-1].tolist() == reader.parts(" ".join(["w1"] * 40))[1:-1].tolist()
    (folder / "input1").mkdir()
    pairs = TextClassifier(folder)
    first, second = (reader.parts(text)[1:] for text in ("w1 w2", "w5 w3"))
    assert pairs.parts("w1 w2\tw5 w3").tolist() == [0, *first, *second]
    parts = pairs.parts(f"{long}\tw5 w3").tolist()
    assert parts[-len(second) :] == second.tolist() and parts.count(end) == 2
    assert pairs.cut == 1 and len(pairs.parts(f"{long}\t{long}")) <= 32
    with pytest.raises(ValueError, match="is of 1: this classifier reads two with a tab between"):
        pairs.parts("w1")


def test_what_a_classifier_is_not_for(data, cut, trained, tmp_path):
    for words in (
        ("score", cut / "2.pt", data, "-o", tmp_path / "x.json", "--engine", "ctranslate2"),
        ("export", cut / "2.pt", data, "-o", tmp_path / "x"),
        ("truncate", trained / "checkpoint_best.pt", "--layers", "2x1", "-o", tmp_path / "x.pt"),
        ("score", cut / "2.pt", data.parent, "-o", tmp_path / "x.json"),
        ("score", cut / "2.pt", data, "-o", tmp_path / "x.json", "--subset", "none"),
    ):
        found = selfteach(*words, check=False)
        assert found.returncode == 1 and found.stderr.count("\n") == 1, found.stderr
    assert not [*tmp_path.iterdir()]


def test_a_label_of_the_test_text_that_training_has_not(data, cut, tmp_path):
    shutil.copytree(data.parent, tmp_path / "text")
    (tmp_path / "text/test.label").write_text("hot\n" * 23)
    fairseq(
        *("preprocess", "--only-source", "--srcdict", data / "label/dict.txt"),
        *("--testpref", tmp_path / "text/test.label", "--destdir", tmp_path / "text/bin/label"),
    )
    found = selfteach(
        "score", cut / "2.pt", tmp_path / "text/bin", "-o", tmp_path / "x.json", check=False
    )
    assert "has a label that training has not" in found.stderr


def test_killed_and_resumed_is_never_killed(data, tmp_path):
    flags = ("--student-layers", "2,3", "--student-sampling", 1, "--dropout", 0.1)
    whole = (*flags, "--max-epoch", 4, "--save-interval-updates", 18, "--student-head", "own")
    train(data, tmp_path / "whole", *whole)
    (tmp_path / "resumed").mkdir()
    shutil.copy(tmp_path / "whole/checkpoint_2_18.pt", tmp_path / "resumed/checkpoint_last.pt")
    train(data, tmp_path / "resumed", *whole)
    one, other = (
        Checkpoint.read(tmp_path / x / "checkpoint_last.pt") for x in ("whole", "resumed")
    )
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(tensor, other.weights[n]) for n, tensor in one.weights.items())


def test_a_cut_of_what_hydra_trained_keeps_its_task(data, cut, tmp_path):
    """Whose settings are not among the model's there."""
    state = torch.load(cut / "4.pt")
    together = vars(state["args"])
    of_task = {"_name": "sentence_prediction", "num_classes": 3, "init_token": 0}
    model = {name: value for name, value in together.items() if name not in of_task}
    parts = {"model": {**model, "_name": "roberta"}, "task": of_task}
    parts |= {"criterion": {"_name": "sentence_prediction"}, "common": {}}
    torch.save({**state, "args": None, "cfg": parts}, tmp_path / "hydra.pt")
    selfteach("truncate", tmp_path / "hydra.pt", "--layers", 2, "-o", tmp_path / "2.pt")
    shown = selfteach("score", tmp_path / "2.pt", data, "-o", tmp_path / "2.json").stdout
    assert "accuracy" in shown


@pytest.mark.parametrize(
    "option", [("--metric", "rouge"), ("--tokenizer", "zh"), ("--lenpen", "0.6,1"), ("--beam", 1)]
)
def test_options_of_translations_are_refused(data, cut, tmp_path, capsys, option):
    words = ("score", cut / "4.pt", data, "-o", tmp_path / "r.json", *option)
    assert main([str(word) for word in words]) == 1
    assert f"{option[0]} is for translations" in capsys.readouterr().err


@pytest.mark.parametrize("head", ["shared", "own"])
def test_two_workers_are_one(data, tmp_path, head):
    flags = (
        *("--student-layers", "2,3", "--student-sampling", 1, "--student-head", head),
        *("--optimizer", "sgd", "--lr", 0.3, "--max-epoch", 4, "--find-unused-parameters"),
        *("--ddp-backend", "legacy_ddp"),
    )
    one = train(data, tmp_path / "one", *flags, "--batch-size", 96).stdout
    command = train_command(data, tmp_path / "two", *flags, "--batch-size", 48)
    two = train_as_two(*command).stdout
    weights = Checkpoint.read(tmp_path / "one/checkpoint_last.pt").weights
    found = Checkpoint.read(tmp_path / "two/checkpoint_last.pt").weights
    for name, weight in weights.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=3e-6, msg=name)
    expected, logged = last_figures(one, "valid"), last_figures(two, "valid")
    for name in ("accuracy", "f1", "mcc", "student_2_f1", "nll_loss"):
        assert float(logged[name]) == pytest.approx(float(expected[name]), abs=2e-3)


def options_of_stages(data, folder):
    """fairseq-train's, less those that `gradual` says itself."""
    options = [str(word) for word in train_command(data, folder)]
    kept = options[options.index("--cpu") :]
    for flag in ("--save-dir", "--encoder-layers", "--criterion", "--best-checkpoint-metric"):
        at = kept.index(flag)
        del kept[at : at + 2]
    kept.remove("--maximize-best-checkpoint-metric")
    return kept


def test_a_gradual_schedule(data, tmp_path):
    """Each stage is cut at its student's best accuracy, and goes on from there."""
    kept = options_of_stages(data, tmp_path)
    save = tmp_path / "gradual"
    words = ("gradual", data, "--schedule", "4,3,last2", "--stage-updates", 24, "--save-dir", save)
    shown = selfteach(*words, "--", *kept).stdout
    assert "accuracy on validation text" in shown
    state = json.loads((save / "schedule.json").read_text())
    assert [stage["student"] for stage in state["stages"]] == ["3", "last2"]
    for stage in state["stages"]:
        assert 0 <= stage["student_accuracy"] <= 100 and stage["full_accuracy"] is not None
    counts = {d: Checkpoint.read(save / f"model-{d}.pt").layers.counts for d in ("4", "3", "last2")}
    assert counts == {"4": (4,), "3": (3,), "last2": (2,)}
    log = (save / "stage2-3/train.log").read_text()
    assert "loading pretrained model" in log.lower()


def test_the_importance_of_layers(data, trained, tmp_path):
    folder = tmp_path / "importance"
    best = trained / "checkpoint_best.pt"
    shown = selfteach("importance", data, "--path", best, "-o", folder, "--zeroing").stdout
    assert "nats per sentence" in shown and "decoder" not in shown
    with open(folder / "importance.tsv", newline="") as table:
        rows = [*csv.DictReader(table, delimiter="\t")]
    assert [(row["side"], row["layer"]) for row in rows] == [
        ("encoder", str(n)) for n in range(1, 5)
    ]
    classifier = Classifier(Checkpoint.read(best).stock(), data)
    sentences, targets = classifier.split("valid")
    losses = [
        torch.nn.functional.cross_entropy(
            classifier.model(tokens[None], classification_head_name=HEAD)[0], torch.tensor([y])
        )
        for tokens, y in zip(sentences, targets, strict=True)
    ]
    torch.stack(losses).mean().backward()
    for row, layer in zip(rows, classifier.model.encoder.sentence_encoder.layers, strict=True):
        products = torch.cat([(p * p.grad).abs().flatten() for p in layer.parameters()])
        assert float(row["importance"]) == pytest.approx(products.mean().item(), rel=1e-3)


def test_a_schedule_by_the_importance_of_layers(data, cut, tmp_path):
    words = ("gradual", data, "--schedule", "auto:4-2", "--save-dir", tmp_path / "auto")
    words += ("--stage-updates", 1, "--init", cut / "4.pt")
    shown = selfteach(*words, "--", *options_of_stages(data, tmp_path)).stdout
    assert "stage 1 of" in shown
    state = json.loads((tmp_path / "auto/schedule.json").read_text())
    *_, last = (stage["student"] for stage in state["stages"])
    assert last == "2" and (tmp_path / "auto/model-2.pt").exists()
