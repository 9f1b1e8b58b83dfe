"""recipes/corpora/descriptions.py: which descriptions of packages are documents and summaries."""

import hashlib
from itertools import count

import descriptions
import pytest

WORDS = " ".join(f"word{n}" for n in range(30))


def package(name, short="summarises a text", *parts, words=WORDS):
    """A package as apt's list of descriptions has it, with paragraphs in lines of five words."""
    lines = []
    for part in (f"{name} {words}", *parts):
        split = part.split()
        lines += [" " + " ".join(split[n : n + 5]) for n in range(0, len(split), 5)] + [" ."]
    return "\n".join([f"Package: {name}", f"Description-en: {short}", *lines[:-1]]) + "\n"


def source_of(number):
    """The name of a source whose number is this: 0 is tested, 1 validated, others trained on."""
    names = (f"source{n}" for n in count())
    return next(n for n in names if int(hashlib.sha256(n.encode()).hexdigest(), 16) % 20 == number)


ENOUGH = (
    package(source_of(0), "a test of games"),
    package(source_of(1), "a valid game indeed"),
    package(source_of(2), "for the training of minds"),
)


def run(tmp_path, *packages):
    """The pairs of each split; none if that fails."""
    (tmp_path / "dump").write_text("\n".join(packages))
    out = tmp_path / "out"
    if descriptions.main(["--dump", str(tmp_path / "dump"), "--out", str(out)]):
        return {}
    sides = {
        split: [(out / f"{split}.{side}").read_text().splitlines() for side in descriptions.SIDES]
        for split in ("train", "valid", "test")
    }
    return {split: list(zip(*both, strict=True)) for split, both in sides.items()}


def test_a_source_is_in_one_split(tmp_path):
    """The list of descriptions does not name the source: the other one does."""
    tested = source_of(0)
    found = run(
        tmp_path,
        f"Package: z-tools\nSource: {tested} (1.2-3)\nDescription: an X Terminal  (tools)\n",
        *ENOUGH,
        package("z-tools", "an X  Terminal (tools)"),
    )
    assert found["test"][1:] == [(f"z-tools {WORDS}", "an X Terminal")]
    assert [short for _, short in found["train"]] == ["for the training of minds"]


def test_a_document_and_a_summary_count_once(tmp_path):
    found = run(
        tmp_path,
        *ENOUGH,
        package("a", "the first of its kind", words=f"in common {WORDS}"),
        package("b", "the first of its kind"),
        package("a", "an update of the first"),
    )
    assert [short for _, short in found["train"][1:]] == ["the first of its kind"]


def test_paragraphs_of_more_than_three_packages_are_left_out(tmp_path):
    both = ("shared by three of them", "stands everywhere, as boilerplate does")
    found = run(
        tmp_path,
        *ENOUGH,
        *(package(f"p{n}", f"the package number {n}", *both) for n in range(3)),
        package("p3", "the package number 3", both[1]),
    )
    documents = dict((short, long) for long, short in found["train"][1:])
    assert documents["the package number 0"] == f"p0 {WORDS} {both[0]}"
    assert documents["the package number 3"] == f"p3 {WORDS}"


@pytest.mark.parametrize(
    "left_out",
    [
        package("short", words="has few words"),
        package("long", words=" ".join(f"w{n}" for n in range(250))),
        package("two", "two words"),
        package("gone", "transitional package for another"),
        package("all", "many of them - metapackage"),
        "Description-en: of no package\n " + WORDS + "\n",
        "Package: none\nDescription-en: without a long one\n",
        "Package: other\nDescription-de: etwas ganz anderes\n " + WORDS + "\n",
    ],
)
def test_what_is_no_document_or_no_summary_is_left_out(tmp_path, left_out):
    assert run(tmp_path, *ENOUGH, left_out) == run(tmp_path, *ENOUGH)


def test_a_system_without_descriptions_is_told_what_to_do(tmp_path, capsys, monkeypatch):
    assert not run(tmp_path, "Package: a\nDescription: the first line alone\n")
    assert "apt-get -o Acquire::Languages=en update" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert descriptions.main(["--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "DUMP=FILE" in line and not (tmp_path / "out").exists()
