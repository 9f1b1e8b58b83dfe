"""The distillations with real commands: a teacher that is there, a student of stock fairseq."""

import json
import re
import shutil
from contextlib import contextmanager
from functools import partial

import pytest
from conftest import train
from fairseq.data import Dictionary
from fairseq.data.data_utils import load_indexed_dataset

from selfteach_fairseq import distil
from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.cli import main
from selfteach_fairseq.layers import Layers
from selfteach_fairseq.programs.generate import Hypothesis, Output


def targets(folder):
    """The training targets as text."""
    dictionary = Dictionary.load(str(folder / "dict.en.txt"))
    dataset = load_indexed_dataset(str(folder / "train.xx-en.en"), dictionary)
    return [dictionary.string(dataset[i]) for i in range(len(dataset))]


@pytest.fixture(scope="module")
def distilled(data, trained, tmp_path_factory):
    """(folder, arguments) of a finished translation of the training text."""
    folder = tmp_path_factory.mktemp("distilled") / "out put"
    words = ("distil", trained / "checkpoint_best.pt", data, "-o", folder)
    options = ("--beam", 2, "--batch-size", 40, "--shards", 2, "--", "--max-len-b", 20)
    words = [str(word) for word in (*words, *options)]
    assert main(words) == 0
    return folder, words


def test_training_text_as_the_teacher_translates_it(data, distilled, capsys):
    folder, words = distilled
    made = targets(folder)
    assert len(made) == 120 and made != targets(data)
    for name in ("train.xx-en.xx.bin", "valid.xx-en.en.idx", "test.xx-en.en.bin", "dict.xx.txt"):
        assert (folder / name).read_bytes() == (data / name).read_bytes()
    parts = [json.loads(path.read_text()) for path in sorted((folder / "shards").iterdir())]
    numbers = [set(map(int, part["translations"])) for part in parts]
    assert len(numbers) == 2 and numbers[0] | numbers[1] == set(range(120))
    assert not numbers[0] & numbers[1]
    cost = json.loads((folder / "cost.json").read_text())
    assert cost["training_seconds"] == sum(part["seconds"] for part in parts) > 1
    assert cost["peak_memory_bytes"] > 1e6
    capsys.readouterr()
    assert main(words) == 0  # finished already
    assert capsys.readouterr().out == f"{folder}: 120 of 120 sentences translated\n"
    assert targets(folder) == made
    assert json.loads((folder / "cost.json").read_text()) == cost


def test_a_stock_student_learns_word_by_word_from_the_teachers_text(trained, distilled, tmp_path):
    folder, _ = distilled
    flags = (
        *("--arch", "transformer_iwslt_de_en", "--criterion", "word_level_distillation"),
        *("--encoder-layers", 2, "--decoder-layers", 1, "--max-epoch", 1),
        *("--decoder-embed-dim", 16, "--decoder-ffn-embed-dim", 16),
        *("--teacher", trained / "checkpoint_best.pt", "--teacher-weight", 0.9),
        *("--eval-bleu", "--eval-bleu-args", '{"beam": 1}'),
    )
    log = train(folder, tmp_path / "a student", *flags).stdout
    assert re.search(r"valid \| .* kl \d", log) and "| bleu " in log
    student = Checkpoint.read(tmp_path / "a student/checkpoint_last.pt")
    assert str(student.layers) == "2x1"
    assert not any("teacher" in name for name in student.weights)


def test_students_learn_from_a_teacher_in_one_run(data, trained, tmp_path):
    """And know nothing of it once they are cut out."""
    flags = (
        *("--student-layers", "2x1,1", "--max-epoch", 1),
        *("--teacher", trained / "checkpoint_best.pt", "--teacher-weight", 0.9),
    )
    log = train(data, tmp_path, *flags).stdout
    for subset in ("train", "valid"):
        assert re.search(rf"{subset}\b.* teacher_kl \d", log)
    full = Checkpoint.read(tmp_path / "checkpoint_last.pt")
    assert full.cfg["criterion"]["teacher_weight"] == 0.9
    assert not any("teacher" in name for name in full.weights)
    cut = full.cut(Layers.parse("1"))
    assert not any(name.startswith(("teacher", "student")) for name in cut.cfg["criterion"])


@contextmanager
def saying(translations, asked, state, data, pair):
    """Stands for fairseq-generate."""

    def generate(subset, options):
        asked.append((subset, options))
        said = {number: [Hypothesis(text, 0.0, 1)] for number, text in translations.items()}
        return Output(said, {}, {})

    yield generate


def test_interrupted_it_goes_on(distilled, tmp_path, monkeypatch):
    finished, words = distilled
    folder = tmp_path / "interrupted"
    shutil.copytree(finished, folder)
    lost = folder / "shards/2-of-2.json"
    translations = json.loads(lost.read_text())["translations"]
    lost.unlink()
    (folder / "train.xx-en.en.idx").unlink()
    asked = []
    monkeypatch.setattr(distil, "generating", partial(saying, translations, asked))
    assert main([str(folder) if word == str(finished) else word for word in words]) == 0
    ((subset, options),) = asked
    assert subset == "train"
    assert options[-4:] == ["--distributed-world-size", "2", "--distributed-rank", "1"]
    assert targets(folder) == targets(finished)


def test_other_work_is_not_gone_on_with(distilled, tmp_path, capsys):
    finished, words = distilled
    for change, message in (
        (lambda word: "3" if word == "2" else word, "by another teacher or with other options"),
        (lambda word: str(tmp_path) if word == str(finished) else word, "holds other files"),
    ):
        (tmp_path / "mine.txt").write_text("precious")
        assert main([change(word) for word in words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_options_of_the_command_are_refused_after_the_dashes(distilled, tmp_path, capsys):
    _, words = distilled
    words = [str(tmp_path / "out") if word == words[4] else word for word in words]
    for flag in ("--beam=3", "--post-process"):
        assert main([*words, flag]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{flag.partition('=')[0]} is not for fairseq-generate here" in line
    assert not (tmp_path / "out").exists()


def test_text_that_is_not_there(data, distilled, tmp_path, capsys):
    _, words = distilled
    other = tmp_path / "data"
    shutil.copytree(data, other)
    words = [str(other) if word == str(data) else word for word in words]
    words[words.index("-o") + 1] = str(tmp_path / "out")
    more = other / "train1.xx-en.xx.bin"
    more.touch()
    for message, change in (
        ("has a train1 beside train", more.unlink),
        ("its train.xx-en.en can't be read", (other / "train.xx-en.xx.bin").unlink),
        ("has no train of xx and en", None),
    ):
        (other / "train.xx-en.en.idx").write_bytes(b"torn")
        assert main(words) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line and not (tmp_path / "out").exists()
        if change:
            change()


def test_what_the_teacher_cannot_say(data, distilled, monkeypatch, tmp_path):
    """A sentence that it can't take keeps its target; one may have no words, or unknown ones."""
    said = {0: "", 1: "W1 <unk> none", 2: "W2"}
    monkeypatch.setattr(distil, "generating", partial(saying, said, []))
    _, words = distilled
    words = list(words)
    words[words.index("-o") + 1] = str(tmp_path / "out")
    assert main(words) == 0
    own, made = targets(data), targets(tmp_path / "out")
    assert made[:3] == ["", "W1 <unk> <unk>", "W2"] and made[3:] == own[3:]
