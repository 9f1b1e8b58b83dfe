"""IWSLT14's archives, in a miniature that has their layout and quirks."""

import io
import re
import tarfile

import iwslt14
import iwslt14_archive
import iwslt14_markup
import pytest
from miniature import LANGUAGES, files_of, pack, pair_archive, release
from text import CorpusError


@pytest.fixture
def archive(tmp_path):
    return release(tmp_path / "2014-01.tgz")


def lines(folder, name):
    return (folder / name).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pair_of_the_release(archive, tmp_path, language, capsys):
    out = tmp_path / "corpus"
    assert iwslt14.main([language, "en", "--archive", str(archive), "--out", str(out)]) == 0
    for split in ("train", "valid", "test"):
        assert len(lines(out, f"{split}.{language}")) == len(lines(out, f"{split}.en"))

    train, valid = lines(out, "train.en"), lines(out, "valid.en")
    # Of 66 lines one is empty: title, description, two sentences, title, description, and 60.
    assert len(train + valid) == 66 and len(valid) == 66 // 23
    assert train[:4] == [
        "Title en: one & only",
        "It begins en. And ends.",
        "First sentence en <b>.",
        "1 < 2 and a <b>tag</b> en",
    ]
    assert valid[0] == "sentence number 16 of the talk in en ."
    assert not set(train) & set(valid)

    tests = [f"{name} {doc}" for name in iwslt14_archive.TESTS for doc in (7, 8)]
    if language != "de":
        tests = [name for name in tests if not name.startswith("TEDX")]
    expected = [s for t in tests for s in (f'{t} "en"', f"second {t.split()[1]} in en")]
    assert lines(out, "test.en") == expected
    assert ("6,750" in capsys.readouterr().out) == (language == "de")


def test_a_byte_order_mark_is_no_text():
    """It would stand before the first tag of a file, which then were a sentence."""
    (content, *_) = files_of("de").values()
    marked = iwslt14_markup.training(b"\xef\xbb\xbf" + content, "train")
    assert marked == iwslt14_markup.training(content, "train")


def test_a_pairs_own_archive_in_lower_case(tmp_path):
    path = tmp_path / "de-en.tgz"
    path.write_bytes(pair_archive("de", files_of("de")))
    arguments = ["de", "en", "--archive", str(path), "--out", str(tmp_path / "out")]
    iwslt14.main(arguments)
    cased = lines(tmp_path / "out", "train.en")
    iwslt14.main([*arguments, "--lowercase"])
    assert lines(tmp_path / "out", "train.en") == [line.lower() for line in cased] != cased
    # Of this letter and its mark only the small ones are one character.
    assert iwslt14.lower_case([("J\u030c", "J")]) == [("\u01f0", "j")]


def test_cleaning_counts_tokens_of_both_sides():
    long = "a " * 175
    pairs = [
        ("a b", "a b c"),
        ("a b", "a b c d"),
        ("", "a"),
        (long, long),
        (long + "b", long),
        ("a.", "a ."),
    ]
    assert iwslt14.clean(pairs) == [pairs[0], pairs[3], pairs[5]]


def broken(language="fa", **changes):
    files = files_of(language)
    for name, change in changes.items():
        (whole,) = (
            n for n in files if name in n and n.endswith((f".{language}", f"{language}.xml"))
        )
        files[whole] = change(files[whole])
    return pair_archive(language, {n: c for n, c in files.items() if c is not None})


BROKEN = {
    "a sentence less": (
        broken(train=lambda c: c.replace(b" sentence number 3 of", b"<keywords>")),
        r"fa-en.fa has ended, but train.tags.fa-en.en, line 73, has a sentence of talk 2",
    ),
    "a title less": (
        broken(train=lambda c: c.replace(b"<title>Title fa<", b"<keywords><")),
        r"the sides differ: train.tags.fa-en.fa, line 12, has a description of talk 2, but "
        r"train.tags.fa-en.en, line 12, has a title of talk 2",
    ),
    "a segment less": (
        broken(tst2011=lambda c: c.replace(b'<seg id="2">', b"<x>", 1)),
        r"tst2011.fa-en.fa.xml, line 14, has a segment 1 of talk 2, but .*en.xml, line 7, .* 2 of",
    ),
    "a description without end": (
        broken(train=lambda c: c.replace(b"</description>", b"")),
        r"train.tags.fa-en.fa, line \d+: <description> without its end",
    ),
    "no segments": (broken(dev2010=lambda _: b"<xml>"), "dev2010.fa-en.fa.xml: has no <seg>"),
    "not UTF-8": (
        broken(train=lambda c: c.replace(b"Title fa<", b"Title \xff<")),
        "train.tags.fa-en.fa, line 11: is not UTF-8",
    ),
    "a missing set": (
        broken(tst2012=lambda _: None),
        "lacks IWSLT14.TED.tst2012.fa-en.fa.xml: fetch it again",
    ),
    "cut off": (broken()[:700], "is no intact archive .* remove it"),
    "another pair": (pair_archive("he", files_of("he")), "has no pair fa-en"),
    "a segment without end": (
        broken(tst2010=lambda c: c.replace(b"</seg>", b"")),
        "tst2010.fa-en.fa.xml, line 6: <seg> without its end",
    ),
    "an entity of ten thousand digits": (
        broken(train=lambda c: c.replace(b"&amp;", b"&#" + b"9" * 10_000 + b";")),
        "train.tags.fa-en.fa, line 5: has an entity that is no character",
    ),
    "a NUL byte": (
        broken(tst2010=lambda c: c.replace(b"second", b"sec\0nd")),
        "tst2010.fa-en.fa.xml, line 8: has a NUL byte",
    ),
    "a flipped bit in the checksum": (
        broken()[:-8] + bytes([broken()[-8] ^ 1]) + broken()[-7:],
        r"is no intact archive \(CRC check failed",
    ),
    "no archive": (b"<html>quota exceeded</html>", "is no intact archive"),
}


@pytest.mark.parametrize("content, message", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_gets_one_line(tmp_path, capsys, content, message):
    path = tmp_path / "fa-en.tgz"
    path.write_bytes(content)
    out = tmp_path / "out"
    assert iwslt14.main(["fa", "en", "--archive", str(path), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("iwslt14.py: error: ")
    assert re.search(message, error), error
    assert not out.exists()


def test_a_missing_archive(tmp_path, capsys):
    absent = tmp_path / "none.tgz"
    assert iwslt14.main(["fa", "en", "--archive", str(absent), "--out", str(tmp_path / "out")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_names_that_lead_elsewhere_are_only_read(tmp_path):
    """Members are taken by their last name, and nothing is unpacked to disk."""
    files = {f"../../../{name}": content for name, content in files_of("fa").items()}
    path = tmp_path / "fa-en.tgz"
    path.write_bytes(pack(files))
    before = set(tmp_path.parent.rglob("*"))
    assert iwslt14.main(["fa", "en", "--archive", str(path), "--out", str(tmp_path / "out")]) == 0
    written = {p.parent for p in set(tmp_path.parent.rglob("*")) - before if p.is_file()}
    assert written == {tmp_path / "out"}


def test_sides_of_a_talk_without_end_are_named():
    with pytest.raises(CorpusError, match="line 1: <title> without its end"):
        iwslt14_markup.training(b"<title>open\n\n", "train")


def entry(name, kind=tarfile.REGTYPE, content=b"", **attributes):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def archive_of(*more, format=tarfile.PAX_FORMAT):
    """fa-en.tgz with other entries before its own."""
    own = [entry(f"fa-en/{name}", content=content) for name, content in files_of("fa").items()]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=format) as archive:
        for info, content in (*more, *own):
            if info.size == len(content):
                archive.addfile(info, io.BytesIO(content))
            else:
                archive.fileobj.write(info.tobuf(format))
    return packed.getvalue()


TRAIN = "train.tags.fa-en.fa"
HARMLESS = {
    "absolute": [entry(f"/etc/{TRAIN}.more"), entry("/etc/passwd", content=b"root")],
    "above": [entry("../../above", content=b"text")],
    "a symbolic link": [entry(f"x/{TRAIN}", tarfile.SYMTYPE, linkname="/etc/passwd")],
    "a hard link": [entry(f"x/{TRAIN}", tarfile.LNKTYPE, linkname="/etc/passwd")],
    "a link to itself": [entry(TRAIN, tarfile.LNKTYPE, linkname=TRAIN)],
    "a device": [entry(f"x/{TRAIN}", tarfile.CHRTYPE, devmajor=1, devminor=5)],
    "a pipe": [entry(f"x/{TRAIN}", tarfile.FIFOTYPE)],
    "a folder": [entry(TRAIN, tarfile.DIRTYPE)],
    "the same again": [entry(f"x/{TRAIN}", content=files_of("fa")[TRAIN])],
    "names for terminals": [entry("\x1b[2J\n\0"), entry("x" * 5000)],
    "a sparse file": [
        entry(TRAIN, pax_headers={"GNU.sparse.size": "99999999999", "GNU.sparse.map": "0,0"})
    ],
}


@pytest.mark.parametrize("more", HARMLESS.values(), ids=HARMLESS)
def test_entries_that_are_passed_over(tmp_path, more):
    path = tmp_path / 'fa-en\'s "archive".tgz'
    path.write_bytes(archive_of(*more))
    assert iwslt14_archive.read(path, "fa") == files_of("fa")
    assert list(tmp_path.iterdir()) == [path]


REFUSED = {
    "another one of that name": ([entry(TRAIN, content=b"other")], f"has two {TRAIN} that differ"),
    "a bomb": ([entry("zeros", content=bytes(2**26))], "unpacks to over 4,194,304 bytes"),
    "a bomb of that name": ([entry(TRAIN, content=bytes(2**26))], "unpacks to over"),
    "a size beyond the end": ([entry(TRAIN, size=2**32)], "no intact archive|unpacks to over"),
}


@pytest.mark.parametrize("more, message", REFUSED.values(), ids=REFUSED)
def test_entries_that_are_refused(tmp_path, more, message):
    path = tmp_path / "fa-en.tgz"
    path.write_bytes(archive_of(*more, format=tarfile.GNU_FORMAT))
    with pytest.raises(CorpusError, match=message):
        iwslt14_archive.read(path, "fa")
    path.write_bytes(pack({"2014-01/fa-en.tgz": path.read_bytes()}))
    with pytest.raises(CorpusError, match=message):
        iwslt14_archive.read(path, "fa")


def test_long_markup_takes_no_long_time():
    """Each took time by the square of its length, or by its cube."""
    for text in ("<seg id=a " * 300_000, "<seg id='1'>" * 300_000, "<doc " * 600_000):
        with pytest.raises(CorpusError):
            iwslt14_markup.test(text.encode(), "test")
    with pytest.raises(CorpusError, match="line 1: <description> without its end"):
        iwslt14_markup.training(b"<description>" + b"text\n" * 500_000, "train")
