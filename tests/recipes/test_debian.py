"""recipes/corpora/debian.py: which descriptions of packages are taken, and what they are called."""

import hashlib
from itertools import count

import debian
import pytest


def package(name, section="games", description="a game of chance", **fields):
    fields = {"Package": name, "Section": section, "Description": description, **fields}
    return "".join(f"{field}: {value}\n" for field, value in fields.items())


def source_of(number, start=0):
    """The name of a source whose number is this: 0 is tested, 1 validated, others trained on."""
    names = (f"source{n}" for n in count(start))
    return next(n for n in names if int(hashlib.sha256(n.encode()).hexdigest(), 16) % 10 == number)


ENOUGH = (
    package(source_of(0), description="a test of games"),
    package(source_of(1), description="a valid game indeed"),
    package(source_of(2), "net", "for the training of minds"),
    package(source_of(3), description="for the training of hands"),
)


def run(tmp_path, *packages):
    """The rows of each split; none if that fails."""
    (tmp_path / "dump").write_text("\n".join(packages))
    out = tmp_path / "out"
    if debian.main(["--dump", str(tmp_path / "dump"), "--out", str(out)]):
        return {}
    return {
        split: [
            (label, text)
            for label, text in zip(
                (out / f"{split}.label").read_text().splitlines(),
                (out / f"{split}.input0").read_text().splitlines(),
                strict=True,
            )
        ]
        for split in ("train", "valid", "test")
    }


def test_a_source_is_in_one_split_and_a_text_counts_once(tmp_path):
    tested, trained = source_of(0, 2000), source_of(5, 3000)
    found = run(
        tmp_path,
        *ENOUGH,
        package("z-tools", "net", "an X Terminal  (tools)", Source=f"{tested} (1.2-3)"),
        package("z-more", "net", "an entirely new thing", Source=tested),
        package("y", "admin", "an x terminal", Source=trained),
        package("w", "admin", "one (or two) more for all", Source=trained),
    )
    assert found["test"][1:] == [("net", "an X Terminal"), ("net", "an entirely new thing")]
    assert found["train"][2:] == [("admin", "one (or two) more for all")]


@pytest.mark.parametrize(
    "section, description",
    [
        ("libs", "what nobody would miss"),
        ("games", "two words (of three)"),
        ("games", "a great game - data files"),
        ("games", "a great game (Common files)"),
        ("net", "Transitional package for something else"),
        ("net", "a plugin for something else"),
        ("net", "debugging symbols of a thing"),
    ],
)
def test_what_is_left_out(tmp_path, section, description):
    found = run(tmp_path, *ENOUGH)
    assert found and run(tmp_path, *ENOUGH, package("x", section, description)) == found


def test_of_a_long_description_the_first_line(tmp_path):
    several = (
        "Package: x\nDescription-en: a long tale\n of: a game\n .\n Section: libs\nSection: net\n"
    )
    found = run(tmp_path, *ENOUGH, several)
    assert ("net", "a long tale") in [row for rows in found.values() for row in rows]


def test_without_packages(tmp_path, capsys, monkeypatch):
    assert not run(tmp_path, "")
    assert "apt-get update first" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian.main(["--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "say DUMP=FILE" in line and not (tmp_path / "out").exists()
