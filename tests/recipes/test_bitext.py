"""The user's own text: what is read, dropped and held out."""

import bz2
import gzip
import io
import lzma
import os
import re
import resource
import subprocess
import sys
import tarfile
import zipfile

import bitext
import pytest
from text import SPLITS

PAIRS = [(f"quelle {i}x", f"target {i}y") for i in range(400)]


def write_side(path, lines):
    content = "".join(line + "\n" for line in lines).encode()
    openers = {".gz": gzip.open, ".GZ": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
    opener = {**openers, ".text-by-gzip": gzip.open}.get(path.suffix, open)
    with opener(path, "wb") as file:
        file.write(content)
    return str(path)


def sides(folder, name, pairs, end=""):
    return [
        write_side(folder / f"{name}.{language}{end}", (pair[side] for pair in pairs))
        for side, language in enumerate(("de", "en"))
    ]


def splits_of(out):
    read = {
        split: [(out / f"{split}.{x}").read_text().splitlines() for x in ("de", "en")]
        for split in SPLITS
    }
    return {split: list(zip(*both, strict=True)) for split, both in read.items()}


def build(out, *arguments):
    return bitext.main(["de", "en", "--held-out", "40", "--out", str(out), *arguments])


@pytest.mark.parametrize("end", ["", ".gz", ".GZ", ".xz", ".bz2", ".text-by-gzip"])
def test_every_kind_of_file_gives_the_same_corpus(tmp_path, end):
    assert build(tmp_path / "two", "--train", *sides(tmp_path, "train", PAIRS, end)) == 0
    table = write_side(tmp_path / f"both.tsv{end}", map("\t".join, PAIRS))
    assert build(tmp_path / "one", "--train", table) == 0
    splits = splits_of(tmp_path / "two")
    assert splits_of(tmp_path / "one") == splits
    assert sorted(pair for part in splits.values() for pair in part) == sorted(PAIRS)
    assert 20 < len(splits["valid"]) < 80 and 20 < len(splits["test"]) < 80


def test_given_splits_are_kept_whole_and_out_of_the_training_text(tmp_path):
    held = [("quelle 7x", "another"), ("", "its source is missing")]
    valid, test = sides(tmp_path, "v", held), sides(tmp_path, "t", PAIRS[:3] * 2)
    train = sides(tmp_path, "train", PAIRS)
    assert build(tmp_path / "o", "--train", *train, "--valid", *valid, "--test", *test) == 0
    splits = splits_of(tmp_path / "o")
    assert splits["valid"] == held and splits["test"] == PAIRS[:3] * 2
    assert splits["train"] == PAIRS[3:7] + PAIRS[8:]


def test_validation_text_without_a_sentence(tmp_path, capsys):
    valid = sides(tmp_path, "valid", [("", "")])
    command = ["de", "en", "--train", *sides(tmp_path, "train", PAIRS), "--valid", *valid]
    assert bitext.main([*command, "--out", str(tmp_path / "out")]) == 1
    assert "valid.de: has no pair of sentences: leave it out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_validation_and_test_text_share_is_said(tmp_path, capsys):
    files = ["--train", *sides(tmp_path, "train", PAIRS)]
    files += ["--valid", *sides(tmp_path, "valid", PAIRS[:20])]
    files += ["--test", *sides(tmp_path, "test", PAIRS[17:30])]
    assert bitext.main(["de", "en", *files, "--out", str(tmp_path / "out")]) == 0
    assert "3 test pairs share a side with validation text" in capsys.readouterr().out


def test_at_least_one_pair_is_held_out(tmp_path, capsys):
    command = ["de", "en", "--train", *sides(tmp_path, "train", PAIRS), "--held-out", "0"]
    with pytest.raises(SystemExit):
        bitext.main([*command, "--out", str(tmp_path / "out")])
    assert "--held-out 0: must be 1 or more" in capsys.readouterr().err


def test_what_is_dropped_is_counted(tmp_path, capsys):
    long = "w " * 101
    bad = [("", "x"), (" ", ""), ("same", "same"), (long, long + "x"), ("y" * 1001, "z" * 1001)]
    bad += [("kurz", "long " * 20), PAIRS[0]]
    build(tmp_path / "o", "--train", *sides(tmp_path, "train", PAIRS + bad))
    printed = dict(line.rsplit(None, 1) for line in capsys.readouterr().out.splitlines()[:6])
    assert list(printed.values()) == ["407", "405", "404", "402", "401", "400"]


def test_windows_line_ends_and_byte_order_marks_are_no_text(tmp_path):
    lines = [f"{a}\r" for a, _ in PAIRS]
    source = write_side(tmp_path / "train.de", ["\ufeff" + lines[0], *lines[1:]])
    target = write_side(tmp_path / "train.en", (b for _, b in PAIRS))
    build(tmp_path / "o", "--train", source, target)
    assert {pair for part in splits_of(tmp_path / "o").values() for pair in part} == set(PAIRS)


def test_line_ends_of_old_macs(tmp_path):
    """Also where something has ended the file, or a line, in today's way."""
    for name, last in (("a", ""), ("b", "\r"), ("c", "\n"), ("d", "\r\n")):
        files = []
        for side in (0, 1):
            path = tmp_path / f"{name}.{side}"
            path.write_bytes(("\r".join(pair[side] for pair in PAIRS) + last).encode())
            files.append(str(path))
        build(tmp_path / name, "--train", *files)
        found = {pair for part in splits_of(tmp_path / name).values() for pair in part}
        assert found == set(PAIRS)


def packed(folder):
    """Files that are packed in other ways, and how to unpack them."""
    text = "".join(f"{a}\n" for a, _ in PAIRS).encode()
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("train.de", text)
    yield "a.zip", "unzip"
    (folder / "a.txt").write_bytes((folder / "a.zip").read_bytes())
    yield "a.txt", "unzip"
    with tarfile.open(folder / "a.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("train.de")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    yield "a.tgz", "tar -xf"
    (folder / "a.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(99))
    yield "a.zst", "unzstd"
    (folder / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(99))
    yield "a.7z", "7z x"
    (folder / "a.bz2").write_bytes(bz2.compress(gzip.compress(text)))
    yield "a.bz2", "as .gz"


def broken(folder):
    de, en = sides(folder, "train", PAIRS)
    shorter = write_side(folder / "shorter.en", (b for _, b in PAIRS[1:]))
    yield "differ in length: .*train.de has 400 lines, .*shorter.en has 399 lines", (de, shorter)
    latin = folder / "latin.de"
    latin.write_bytes(b"gut\nsch\xf6n\n")
    yield "latin.de, line 2: is not UTF-8", (str(latin), en)
    cut = folder / "cut.gz"
    cut.write_bytes(gzip.compress(b"text\n" * 1000)[:-20])
    yield "cut.gz: is no intact .gz file", (str(cut), en)
    wide = folder / "wide.de"
    wide.write_bytes("text\n".encode("utf-16"))
    yield "wide.de, line 1: is not UTF-8", (str(wide), en)
    nul = folder / "nul.de"
    nul.write_bytes(b"gut\nsch\0n\n")
    yield "nul.de, line 2: has a NUL byte", (str(nul), en)
    for name, how in packed(folder):
        message = rf"{name}: is packed: unpack it \({how}\), and name the text"
        yield message, (str(folder / name), en)
    damaged = bytearray(bz2.compress(b"text\n" * 1000))
    damaged[20] ^= 1
    for name, content in (("cut.bz2", damaged[:40]), ("flipped.bz2", damaged)):
        (folder / name).write_bytes(content)
        yield f"{name}: is no intact .bz2 file", (str(folder / name), en)
    bombs = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}
    for name, pack in ((f"bomb.{end}", pack) for end, pack in bombs.items()):
        (folder / name).write_bytes(pack(bytes(2**24)))
        yield f"{name}: unpacks to over 4,194,304 bytes", (str(folder / name), en)
    blank = folder / "blank.gz"
    parts = b"\n" * 5_000_000, os.urandom(50_000).hex().encode()
    blank.write_bytes(b"".join(map(gzip.compress, parts)))
    yield "blank.gz: .* unpack to 5,000,000 lines, too many", (str(blank), en)
    for end in (".gz", ".xz", ".bz2"):
        (folder / f"not{end}").write_bytes(b"text\n" * 100)
        yield f"not{end}: is no intact {end} file", (str(folder / f"not{end}"), en)
    os.mkfifo(folder / "pipe.de")
    yield "pipe.de: is no file", (str(folder / "pipe.de"), en)
    yield "is no file", (str(folder), en)
    yield "both.tsv, line 1: 0 tabs", (write_side(folder / "both.tsv", ["no tab"]),)
    yield "none.de", (str(folder / "none.de"), en)
    few = sides(folder, "few", PAIRS[:2])
    yield "2 usable pairs are too few", few


def test_what_is_broken_gets_one_line(tmp_path, capsys):
    for message, files in broken(tmp_path):
        assert build(tmp_path / "o", "--train", *files) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert re.search(message, error), error
        assert not (tmp_path / "o").exists()


def test_no_disk_space(tmp_path):
    """A limit on the size of files stands for a full disk: writing fails in the same way."""
    train = sides(tmp_path, "train", PAIRS)
    command = [sys.executable, bitext.__file__, "de", "en", "--out", tmp_path / "o"]
    result = subprocess.run(
        [*command, "--train", *train],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("bitext.py: error: ") and result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.de", "train.en"]


def test_other_characters_that_end_lines_end_none(tmp_path):
    """Two sides stay in step, whatever programs take for the end of a line."""
    traps = [("a\u2028b", "A B"), ("c\x85d\x0b", "C\u2029D"), ("e\x1c\x1df", "E\rF\x0c")]
    traps += [("\u202eabc\u202c", "ab\u200fc"), ("e\u0301", "f\u00e9"), ("\ufeffg", "'\"G\"'")]
    files = sides(tmp_path, 'the train\'s "text"', PAIRS + traps)
    assert build(tmp_path / "it's here", "--train", *files) == 0
    found = {pair for part in splits_of(tmp_path / "it's here").values() for pair in part}
    tidy = {("a b", "A B"), ("c d", "C D"), ("e f", "E F"), ("\u00e9", "f\u00e9")}
    assert found == {*PAIRS, *tidy, *traps[3:4], traps[5]}


def test_a_source_with_many_targets(tmp_path):
    """As in subtitles; it took time by the square of their number."""
    many = [("ja .", f"yes {i} .") for i in range(30_000)]
    train = sides(tmp_path, "train", PAIRS + many)
    assert build(tmp_path / "o", "--held-out", "3000", "--train", *train) == 0
    assert set(many) <= set(splits_of(tmp_path / "o")["train"])


LONG = 10_000_000
HOSTILE = {
    "a line of 10 MB": (["x" * LONG], ["y"]),
    "marks to be put in order": (["a" + "\u0301\u0323" * (LONG // 4)], ["y"]),
    "many shorter ones": (["a" + "\u0301\u0323" * 1900] * 100, ["y"] * 100),
    "ten million words": (["x " * (LONG // 2)], ["y"]),
    "four million empty lines": ([""] * 2**22, [""] * 2**22),
}


@pytest.mark.parametrize("lines", HOSTILE.values(), ids=HOSTILE)
def test_large_text_takes_no_large_memory(tmp_path, lines):
    """It is dropped and counted, in an address space of a gigabyte and a minute of a processor."""
    texts = ([pair[side] for pair in PAIRS] + list(lines[side]) for side in (0, 1))
    files = [write_side(tmp_path / f"train.{i}", text) for i, text in enumerate(texts)]

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    command = [sys.executable, bitext.__file__, "de", "en", "--out", tmp_path / "o"]
    result = subprocess.run(
        [*command, "--held-out", "40", "--train", *files],
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert {pair for part in splits_of(tmp_path / "o").values() for pair in part} == set(PAIRS)
