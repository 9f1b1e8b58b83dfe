"""recipes/corpora/labelled.py and glue.py: what they divide, and what they refuse."""

import glue
import labelled
import pytest

ROWS = [("warm" if n % 3 else "cold", f"text number {n}") for n in range(400)]


def write(path, rows):
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    return path


def read(folder):
    return {path.name: path.read_text().splitlines() for path in folder.iterdir() if path.is_file()}


def run(tmp_path, *arguments):
    return labelled.main([*map(str, arguments), "--out", str(tmp_path / "out")])


def test_no_text_stands_in_two_splits(tmp_path):
    """Also texts that differ in case alone; some that go leave the others where they are."""
    rows = [*ROWS, *((label, text.upper()) for label, text in ROWS)]
    assert run(tmp_path, "--train", write(tmp_path / "t", rows), "--held-out", 40) == 0
    before = read(tmp_path / "out")
    splits = {x: {t.lower() for t in before[f"{x}.input0"]} for x in ("train", "valid", "test")}
    assert not splits["train"] & (splits["valid"] | splits["test"])
    assert not splits["valid"] & splits["test"]
    assert all(len(before[f"{x}.label"]) == len(before[f"{x}.input0"]) for x in splits)
    run(tmp_path, "--train", write(tmp_path / "t", rows[10:]), "--held-out", 40)
    assert {*read(tmp_path / "out")["test.input0"]} <= {*before["test.input0"]}


def test_a_text_that_occurs_again_counts_once():
    rows = [("a", "x"), ("b", "x"), ("b", "x"), ("c", "y"), ("d", "y")]
    assert labelled.unique(rows) == [("b", "x"), ("c", "y")]


def test_given_splits_are_kept_and_their_texts_are_in_no_other(tmp_path):
    given = write(tmp_path / "v", ROWS[:20])
    words = ("--train", write(tmp_path / "t", ROWS), "--valid", given, "--test", given)
    assert run(tmp_path, *words) == 0
    found = read(tmp_path / "out")
    assert found["valid.input0"] == found["test.input0"] == [text for _, text in ROWS[:20]]
    assert len(found["train.input0"]) == 380


def test_given_texts_that_differ_in_case_alone_are_in_no_other_split(tmp_path, capsys):
    given = [write(tmp_path / name, ROWS[:n]) for name, n in (("v", 20), ("e", 10))]
    shouted = [(label, text.upper()) for label, text in ROWS]
    words = ("--train", write(tmp_path / "t", shouted), "--valid", given[0], "--test", given[1])
    assert run(tmp_path, *words) == 0
    assert len(read(tmp_path / "out")["train.input0"]) == 380
    assert "10 test texts are in validation text" in capsys.readouterr().out


@pytest.mark.parametrize(
    "train, test, message",
    [
        ([], [("a", "z")], "t: is empty"),
        ([("a", "x"), ("a", "y")], [("a", "z")], "one label only, a"),
        ([("a", "x"), ("b", "y")], [("c", "z")], "the label c is none of the training text's"),
        ([("a", "x"), ("b", "y")], [("a", "z", "z")], "some splits have one text and some two"),
        ([("a", "x"), ("b", "x", "y")], [("a", "z")], "some lines have one text and some two"),
    ],
)
def test_what_is_refused(tmp_path, capsys, train, test, message):
    paths = (write(tmp_path / "t", train), write(tmp_path / "e", test))
    assert run(tmp_path, "--train", paths[0], "--valid", paths[1], "--test", paths[1]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_files_of_glue(tmp_path, capsys):
    folder = tmp_path / "CoLA"
    folder.mkdir()
    write(folder / "train.tsv", [("gj04", "1", "", "It fits."), ("gj04", "0", "*", "It fit is.")])
    write(folder / "dev.tsv", [("gj04", "0", "*", "Fits it?")])
    words = ["cola", str(tmp_path), "--out", str(tmp_path / "out")]
    assert glue.main(words) == 0
    found = read(tmp_path / "out")
    assert found["train.label"] == ["1", "0"] and found["train.input0"] == [
        "It fits.",
        "It fit is.",
    ]
    assert found["valid.input0"] == found["test.input0"] == ["Fits it?"]
    write(folder / "dev.tsv", [("0", "Fits it?")])
    assert glue.main(words) == 1 and "line 1: 1 tabs, expected three" in capsys.readouterr().err
