"""What `selfteach score` refuses before fairseq starts."""

import pytest
import torch
from tiny import build, checkpoint_of

from selfteach_fairseq.cli import main


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


@pytest.mark.parametrize("language", [5, ["xx"], "../xx", "x\ny", "-x", ""])
def test_languages_that_are_none(state, tmp_path, capsys, language):
    model = saved(state, language, tmp_path)
    for name in ("dict.en.txt", "dict.5.txt", "dict.-x.txt"):
        (tmp_path / name).write_bytes(TYPES)
    assert main(["score", model, str(tmp_path), "-o", "o.json"]) == 1
    assert "has no dict.*.txt" in capsys.readouterr().err
