"""What `selfteach score` refuses before fairseq starts."""

import copy
import json
from argparse import Namespace

import pytest
import torch
from tiny import build, checkpoint_of

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.checkpoints.data import languages
from selfteach_fairseq.cli import main
from selfteach_fairseq.commands.score import _about
from selfteach_fairseq.evaluation import score
from selfteach_fairseq.evaluation.engines import Engine
from selfteach_fairseq.programs.generate import Hypothesis, Output, Search


@pytest.fixture(scope="module")
def state():
    return checkpoint_of(build()[0])


def saved(state, source, folder):
    task = {**state["cfg"]["task"], "source_lang": source, "target_lang": "en"}
    path = folder / "model.pt"
    torch.save({**state, "cfg": {**state["cfg"], "task": task}}, path)
    return str(path)


TYPES = "".join(f"t{i} 1\n" for i in range(33)).encode()
DICTIONARIES = {
    "another size": (TYPES + b"more 1\n", "has 38 types and the checkpoint 37"),
    "nothing": (b"", "has 4 types"),
    "no counts": (TYPES.replace(b" 1", b""), "is no dictionary (Incorrect dictionary format"),
    "text for a count": (TYPES.replace(b"t5 1", b"t5 x"), "is no dictionary"),
    "the same twice": (TYPES + b"t5 1\n", "is no dictionary (Duplicate word"),
    "not UTF-8": (TYPES.replace(b"t5", b"t\xff"), "is no dictionary (Incorrect encoding"),
    "a byte order mark": (b"\xef\xbb\xbf" + TYPES, "begins with a byte order mark"),
    "a line of 10 MB": (b"t" * 10_000_000, "is no dictionary"),
}


@pytest.mark.parametrize("content, message", DICTIONARIES.values(), ids=DICTIONARIES)
def test_dictionaries_that_do_not_fit(state, tmp_path, capsys, content, message):
    model = saved(state, "xx", tmp_path)
    data = tmp_path / 'it\'s "data"'
    data.mkdir()
    for language, text in (("xx", TYPES), ("en", content)):
        (data / f"dict.{language}.txt").write_bytes(text)
    words = ["score", model, str(data), "-o", str(tmp_path / "o.json")]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{data}/dict.en.txt: {message}" in line


@pytest.mark.parametrize("language", [5, ["xx"], "../xx", "@x", ".x", "x\ny", "-x", ""])
def test_languages_that_are_none(state, tmp_path, capsys, language):
    model = saved(state, language, tmp_path)
    for name in ("dict.en.txt", "dict.5.txt", "dict.-x.txt"):
        (tmp_path / name).write_bytes(TYPES)
    assert main(["score", model, str(tmp_path), "-o", "o.json"]) == 1
    assert "has no dict.*.txt" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["score", "distil", "importance"])
def test_a_task_with_language_tokens_is_named(state, tmp_path, capsys, command):
    """Its dictionaries have more types than the data's, which is the folder it was trained on."""
    state = copy.deepcopy(state)
    state["cfg"]["task"].update(_name="translation_multi_simple_epoch", lang_pairs="xx-en")
    torch.save(state, tmp_path / "model.pt")
    (tmp_path / "dict.xx.txt").write_bytes(TYPES.replace(b"t32 1\n", b""))
    (tmp_path / "dict.en.txt").write_bytes(TYPES.replace(b"t32 1\n", b""))
    model, data = str(tmp_path / "model.pt"), str(tmp_path)
    words = [data, "--path", model] if command == "importance" else [model, data]
    assert main([command, *words, "-o", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "of --task translation_multi_simple_epoch, which puts language tokens into" in line


def test_the_length_penalty_is_the_best_on_validation_text():
    words = [f"a b c d e f{i}" for i in range(6)]
    asked = []

    def search(subset, search):
        asked.append((subset, search))
        # 6 tokens of -1 a token or 2 of -2: the better one a token is the worse one in all.
        both = [Hypothesis("x", -4.0, 2), Hypothesis("", -6.0, 6)]
        said = {i: [both[0], both[1]._replace(text=text)] for i, text in enumerate(words)}
        return Output(said, dict(enumerate(words)), {})

    engine = Engine(search, {}, one_search_for_all=True)
    best, noted = score._choose([0.2, 1.0, 1.4], engine, 5, "13a")
    assert best == 1.0 and noted["lenpen_of"] == "0.2,1.0,1.4" and noted["lenpen_valid_bleu"] > 99
    assert asked == [("valid", Search(5, 0, nbest=5))]
    assert score._choose([0.2, 0.3], engine, 5, "13a")[1]["lenpen_valid_bleu"] == 0
    assert score._choose([0.8], None, 5, "13a") == (0.8, {})


def test_an_engine_that_ends_others_searches_once_for_each_length_penalty():
    said, asked = {0.5: "a b c d", 1.5: "a b c e f"}, []

    def search(subset, search):
        asked.append(search)
        return Output({0: [Hypothesis(said[search.lenpen], -2.0, 5)]}, {0: "a b c e f"}, {})

    best, noted = score._choose([0.5, 1.5], Engine(search, {}, False), 3, "13a")
    assert best == 1.5 and noted["lenpen_valid_bleu"] == 100
    assert asked == [Search(3, 0.5), Search(3, 1.5)]


def test_the_length_penalty_is_chosen_by_the_tokens_that_are_scored():
    """Of sentences without spaces 13a makes a token each, and all penalties would be worth 0."""
    sentences = [f"我们今天去看{word}的房子。" for word in ("他", "老师", "朋友")]

    def search(subset, search):
        said = [[Hypothesis(s[1:5], -2.0, 2), Hypothesis(s[:-1], -9.0, 9)] for s in sentences]
        return Output(dict(enumerate(said)), dict(enumerate(sentences)), {})

    engine = Engine(search, {}, one_search_for_all=True)
    best, noted = score._choose([0.5, 1.5], engine, 5, "zh")
    assert best == 1.5 and noted["lenpen_valid_bleu"] > 85
    best, noted = score._choose([0.5, 1.5], engine, 5, "13a")
    assert (best, noted["lenpen_valid_bleu"]) == (0.5, 0)


def test_the_length_penalty_is_chosen_by_the_metric_that_is_asked_for():
    """Words between others cost BLEU more than missing ones, and ROUGE-L less."""
    said = [[Hypothesis("a b c d", -2.0, 5), Hypothesis("a x b c d x e f", -3.0, 9)]]
    engine = Engine(lambda *_: Output(dict(enumerate(said)), {0: "a b c d e f"}, {}), {}, True)
    assert score._choose([0.5, 1.5], engine, 5, "13a")[0] == 0.5
    best, noted = score._choose([0.5, 1.5], engine, 5, "13a", "rouge")
    assert best == 1.5 and noted["lenpen_valid_rouge"] == round(100 * 12 / 14, 2)


def test_a_search_without_targets_chooses_nothing():
    def search(subset, search):
        return Output({0: [Hypothesis("a", -2.0, 2)]}, {}, {})

    with pytest.raises(ValueError, match="the references are empty"):
        score._choose([0.5, 1.5], Engine(search, {}, True), 5, "13a")


@pytest.mark.parametrize("code", ["sr@latin", "ca@valencia", "zh_CN.GB18030", "zh-Hant", "x"])
def test_languages_are_named_as_locales_are(state, tmp_path, code):
    for language in (code, "en"):
        (tmp_path / f"dict.{language}.txt").write_bytes(TYPES)
    checkpoint = Checkpoint.read(saved(state, code, tmp_path))
    assert languages(checkpoint, tmp_path) == (code, "en")


def test_the_hardware_is_what_translates(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert score.hardware() == "a GPU"
    assert score.hardware(cpu=True).endswith(" threads")


@pytest.mark.parametrize("text", ["1 2", "1,nan", "inf"])
def test_what_is_no_list_of_length_penalties(text, capsys):
    with pytest.raises(SystemExit):
        main(["score", "model.pt", "data", "-o", "o.json", "--lenpen", text])
    assert f"'{text}': write 1, or several: 0.6,1,1.4" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["distil", "model.pt", "data", "-o", "o", "--lenpen", text])
    assert f"'{text}': must be a number, such as 1.2" in capsys.readouterr().err


def test_the_costs_of_a_student_and_its_teacher_are_added_up(tmp_path):
    costs = [(10, 300, "GPU"), (20, 200, "GPU"), (5, 900, "resident set")]
    paths = []
    for number, values in enumerate(costs):
        keys = ("training_seconds", "peak_memory_bytes", "peak_memory_of")
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(dict(zip(keys, values, strict=True))))
    found = _about(Namespace(about=["seed=1"], cost=paths))
    assert found == {
        **{"seed": "1", "training_seconds": 35},
        **{"peak_memory_bytes": 300, "peak_memory_of": "GPU"},
    }
