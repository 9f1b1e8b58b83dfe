"""`selfteach score --engine ctranslate2` beside fairseq, and what `selfteach export` makes."""

import json
import os
import subprocess
import sys

import pytest
import sentencepiece
from conftest import make_text, python, selfteach, train

from selfteach_fairseq.cli import main
from selfteach_fairseq.files import lines_of

FEW = ("--max-len-a", 1.2, "--max-len-b", 3)


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """A run that has learnt something, with the student 4x1."""
    folder = tmp_path_factory.mktemp("model")
    flags = ("--student-layers", "4x1", "--max-epoch", 25, "--encoder-normalize-before")
    flags += ("--disable-validation", "--save-interval", 25)
    train(data, folder, *flags, "--decoder-normalize-before")
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="module")
def scored(data, model, tmp_path_factory):
    """Scores into NAME.json once; returns the record and the translations."""
    folder = tmp_path_factory.mktemp("scored")

    def scored(name, *words):
        output = folder / f"{name}.json"
        if not output.exists():
            selfteach("score", model, data, "-o", output, *words)
        return json.loads(output.read_text()), lines_of(folder / f"{name}.hyp.txt")

    return scored


def refused(capsys, *words):
    assert main([str(word) for word in words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_both_engines_say_the_same(scored):
    ours, said = scored("ct2", "--engine", "ctranslate2", "--threads", 1, "--", *FEW)
    theirs, expected = scored("fairseq", "--threads", 1, "--", *FEW)
    # A sentence or two may differ for what tests/export/test_search.py tells apart.
    assert sum(a != b for a, b in zip(said, expected, strict=True)) <= 2
    assert len(set(said)) > 5
    for name in ("bleu_signature", "sentences", "parameters", "options", "beam", "batch_size"):
        assert ours[name] == theirs[name], name
    assert theirs["engine"] == "fairseq" and "quantization" not in theirs
    assert (ours["engine"], ours["quantization"]) == ("ctranslate2", "none")
    assert (ours["compute_type"], ours["threads"]) == ("float32", 1)
    assert ours["versions"]["ctranslate2"] and "ctranslate2" not in theirs["versions"]
    assert ours["hardware"] == theirs["hardware"] and ours["hardware"].endswith(" 1 threads")


def test_threads_are_those_that_compute(model, data, tmp_path, monkeypatch):
    """fairseq's child is told by its environment."""
    child = tmp_path / "python"
    child.write_text(f'#!/bin/sh\necho "$OMP_NUM_THREADS" >>"$0.seen"\nexec "{python()}" "$@"\n')
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    words = ("score", model, data, "-o", tmp_path / "r.json", "--threads", 2)
    assert main([str(word) for word in words]) == 0
    assert (tmp_path / "python.seen").read_text().split()[-1] == "2"
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["threads"] == 2 and record["hardware"].endswith(" 2 threads")


def test_int8_is_smaller_and_says_so(scored):
    full, _ = scored("ct2", "--engine", "ctranslate2", "--threads", 1, "--", *FEW)
    int8 = ("--engine", "ctranslate2", "--quantization", "int8")
    small, said = scored("int8", *int8, "--", *FEW)
    assert small["compute_type"] == "int8_float32" and small["bytes"] < full["bytes"]
    assert len(said) == full["sentences"]


def test_options_of_fairseq_are_translated(scored):
    engine = ("--engine", "ctranslate2", "--beam", 1)
    _, short = scored("short", *engine, "--", "--max-len-b", 3)
    _, long = scored("long", *engine, "--", "--max-len-a", 2, "--max-len-b", 0)
    assert max(len(line.split()) for line in short) == 3
    assert max(len(line.split()) for line in long) > 3
    _, raw = scored("raw", *engine, "--", "--max-tokens", 30, "--cpu", "--max-len-b", 3)
    assert raw == short


def test_the_length_penalty_can_be_chosen_there(scored):
    record, _ = scored("chosen", "--engine", "ctranslate2", "--lenpen", "0,1", "--beam", 2)
    assert record["lenpen_of"] == "0.0,1.0" and record["lenpen"] in (0, 1)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--threads", 100_000], "--threads 100000: there are "),
        (["--quantization", "int8"], "--quantization is for --engine ctranslate2"),
        (["--engine", "ctranslate2", "--", "--min-len", 3], "--min-len has no counterpart"),
        (["--engine", "ctranslate2", "--", "--lenpen", 3], "--lenpen is not for fairseq-generate"),
        (
            ["--engine", "ctranslate2", "--quantization", "float16"],
            "this cpu does not compute in float16: export with --quantization none or int8",
        ),
    ],
)
def test_what_an_engine_cannot(model, data, tmp_path, capsys, words, message):
    assert message in refused(capsys, "score", model, data, "-o", tmp_path / "r.json", *words)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def exported(model, data, scored, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "de-en"
    scored("fairseq", "--threads", 1, "--", *FEW)
    full, _ = scored("lenpen", "--lenpen", 0.7, "--beam", 3, "--", *FEW)
    record = folder.parent / "record.json"
    record.write_text(json.dumps(full))
    selfteach("export", model, data, "-o", folder, "--record", record)
    return folder


def test_the_shipped_model_is_the_scored_one(exported):
    said = json.loads((exported / "selfteach.json").read_text())
    assert (said["beam"], said["lenpen"]) == (3, 0.7)
    assert (said["max_len_a"], said["max_len_b"]) == (1.2, 3)
    assert (said["source"], said["target"], said["layers"]) == ("xx", "en", "4x3")
    card = (exported / "README.md").read_text()
    assert '"beam_size": 3, "length_penalty": 0.7' in card and "| BLEU | " in card
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=exported, check=True)


def test_layers_are_cut_on_the_way(model, data, tmp_path):
    selfteach("export", model, data, "--layers", "4x1", "-o", tmp_path / "a")
    selfteach("truncate", model, "--layers", "4x1", "-o", tmp_path / "cut.pt")
    selfteach("export", tmp_path / "cut.pt", data, "-o", tmp_path / "b")
    for name in ("model.bin", "SHA256SUMS", "selfteach.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_export_is_whole_or_not_there(model, data, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "folder"
    words = ("export", model, data, "-o", folder)
    assert main([str(word) for word in words]) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert "is there already" in refused(capsys, *words)

    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("selfteach_fairseq.export.card.render", full)
    assert "can't be written: No space left" in refused(capsys, *words, "--force")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    monkeypatch.undo()
    (folder / "README.md").write_text("changed")
    assert main([str(word) for word in (*words, "--force")]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_force_replaces_exports_only(model, data, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("years of work")
    words = ("export", model, data, "--force", "-o")
    assert "is no earlier export, so it stays" in refused(capsys, *words, tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    assert "is no earlier export, so it stays" in refused(capsys, *words, tmp_path / "file")
    assert "writable folder" in refused(capsys, *words, tmp_path / "nowhere/folder")
    assert (tmp_path / "mine/thesis.tex").exists() and (tmp_path / "file").exists()


def test_a_record_of_another_model(model, data, scored, tmp_path, capsys):
    record, _ = scored("fairseq", "--threads", 1, "--", *FEW)
    path = tmp_path / "record.json"
    words = ("export", model, data, "-o", tmp_path / "folder", "--record", path)
    for change, message in (
        ({"decoder_layers": 1}, "of decoder_layers 1 instead of 3"),
        ({"target": "fr"}, "of target fr instead of en"),
        ({"options": "--min-len 3"}, "--min-len has no counterpart"),
        ({"updates": 1}, "of updates 1 instead of"),
        ({"kept_layers": "last4x3"}, "of kept_layers last4x3 instead of None"),
    ):
        path.write_text(json.dumps({**record, **change}))
        assert message in refused(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    path.write_text(json.dumps({**record, "options": f"{record['options']} --fp16"}))
    assert main([str(word) for word in words]) == 0


def test_a_sentencepiece_model_that_does_not_fit(model, data, tmp_path, capsys):
    make_text(tmp_path)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "train.en"),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=20,
        minloglevel=2,
    )
    words = ("export", model, data, "-o", tmp_path / "folder", "--sentencepiece")
    assert "does not fit the dictionary" in refused(capsys, *words, tmp_path / "spm.model")
    for name, content in (("empty", b""), ("text", b"no model")):
        (tmp_path / name).write_bytes(content)
        assert "is no sentencepiece model" in refused(capsys, *words, tmp_path / name)
    assert "name one model" in refused(capsys, *words, *["x"] * 3)
    assert not (tmp_path / "folder").exists()


def test_a_data_folder_of_other_languages(model, data, tmp_path, capsys):
    for code in ("de", "fr"):
        (tmp_path / f"dict.{code}.txt").write_bytes((data / "dict.en.txt").read_bytes())
    assert "has no dict." in refused(capsys, "export", model, tmp_path, "-o", tmp_path / "f")


def test_what_ctranslate2_has_no_counterpart_of_is_said_at_once(data, tmp_path, capsys):
    train(data, tmp_path / "run", "--activation-fn", "linear", "--cross-self-attention")
    model = tmp_path / "run/checkpoint_last.pt"
    line = refused(capsys, "export", model, data, "-o", tmp_path / "folder")
    assert "--activation-fn linear; --cross-self-attention (" in line
    assert not (tmp_path / "folder").exists()
