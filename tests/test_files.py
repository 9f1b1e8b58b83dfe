"""What a full disk leaves: a limit on the size of files gives the same kind of error."""

import json
import os
import resource
from contextlib import contextmanager

import pytest
import torch
from fairseq.file_io import PathManager
from tiny import build, checkpoint_of

from selfteach_fairseq import files
from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.cli import main
from selfteach_fairseq.evaluation import records


@contextmanager
def limit(size):
    """No file may grow beyond so many bytes; Python ignores the signal that would end it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def folder(tmp_path):
    """Old outputs, which nothing that fails may touch."""
    for name in ("out.pt", "r.json", "r.hyp.txt", "t.csv", "checkpoint_last.pt"):
        (tmp_path / name).write_text("precious")
    return tmp_path


def assert_untouched(folder, *others):
    assert {path.name for path in folder.iterdir()} == {
        *("out.pt", "r.json", "r.hyp.txt", "t.csv", "checkpoint_last.pt", *others)
    }
    assert all(path.read_text() == "precious" for path in folder.iterdir() if path.suffix != ".in")


RECORD = {
    **dict.fromkeys(("bleu", "bleu_lc", "chrf", "sentences_per_second", "training_seconds"), 1.5),
    **dict.fromkeys(("bytes", "parameters", "encoder_layers", "decoder_layers"), 2),
    **{"bleu_signature": "nrefs:1", "versions": {"torch": "2"}},
}


def saved(path):
    Checkpoint.of(checkpoint_of(build()[0])).write(path)


# The second of the two files that scoring writes is the longer one, or the shorter.
WRITES = {
    "r.json": lambda folder: records.write({"a": "b" * 9999}, ["c"], folder / "r.json"),
    "r.hyp.txt": lambda folder: records.write({"a": 1}, ["c" * 9999], folder / "r.json"),
    "t.csv": lambda folder: records.write_csv([RECORD] * 999, folder / "t.csv"),
    "out.pt": lambda folder: saved(folder / "out.pt"),
}


@pytest.mark.parametrize("name, write", WRITES.items(), ids=WRITES)
def test_a_full_disk_leaves_the_old_files(folder, name, write):
    message = f"{name}: can't be written: File too large$"
    with pytest.raises(OSError, match=message) as error, limit(4096):
        write(folder)
    assert "\n" not in str(error.value)
    assert_untouched(folder)
    write(folder)
    assert (folder / name).stat().st_size > 4096


def test_what_is_last_written_is_not_lost(folder):
    """One byte more than there is room for, still in Python's buffer at the end."""
    with (
        pytest.raises(OSError, match="can't be written"),
        limit(100),
        files.whole(folder / "out.pt") as file,
    ):
        file.write(b"x" * 101)
    assert_untouched(folder)


@pytest.mark.parametrize("command", ["truncate", "average"])
def test_the_commands_say_so_in_one_line(folder, capsys, command):
    saved = folder / "saved.in"
    torch.save(checkpoint_of(build()[0]), saved)
    words = [command, str(saved), "--force", "-o", str(folder / "out.pt")]
    with limit(4096):
        assert main(words + ["--layers", "1"] * (command == "truncate")) == 1
    expected = f"selfteach {command}: {folder}/out.pt: can't be written: File too large\n"
    assert capsys.readouterr().err == expected
    assert_untouched(folder, "saved.in")


@pytest.mark.parametrize("where, why", [("/proc", "No such file"), ("/nowhere", "No such file")])
def test_a_table_for_a_folder_that_takes_no_files(tmp_path, capsys, where, why):
    (tmp_path / "r.json").write_text(json.dumps(RECORD))
    assert main(["report", str(tmp_path / "r.json"), "--csv", f"{where}/t.csv"]) == 1
    assert capsys.readouterr().err.startswith(
        f"selfteach report: {where}/t.csv: can't be written: {why}"
    )


def test_fairseqs_copy_leaves_the_old_file_and_no_part(folder):
    (folder / "new.in").write_bytes(b"x" * 9999)
    with pytest.raises(OSError, match="File too large"), limit(4096):
        PathManager.copy(str(folder / "new.in"), str(folder / "checkpoint_last.pt"), overwrite=True)
    assert_untouched(folder, "new.in")


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_file_is_for_the_umask_to_say(tmp_path, umask, mode):
    (tmp_path / "source.in").write_bytes(b"x")
    before = os.umask(umask)
    try:
        saved(tmp_path / "out.pt")
        files.write_json({}, tmp_path / "r.json")
        PathManager.copy(str(tmp_path / "source.in"), str(tmp_path / "checkpoint_last.pt"))
    finally:
        os.umask(before)
    for name in ("out.pt", "r.json", "checkpoint_last.pt"):
        assert (tmp_path / name).stat().st_mode & 0o777 == mode, name
