"""A full disk and a read-only folder, as the commands meet them."""

import shutil
import sys

import pytest
import torch
from conftest import run, train_command

EPOCH = ("--student-layers", "2x1", "--max-epoch")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the run of three epochs."""
    return shutil.copytree(trained, tmp_path / "run")


def in_a_namespace(script, *command):
    """Run a script, whose "$@" is the command, where it can mount without anyone else's notice."""
    if run("unshare", "-rm", "true", check=False).returncode:
        pytest.skip("needs mount namespaces")
    return run("unshare", "-rm", "bash", "-ec", script, "-", *command, check=False)


def test_training_on_a_full_disk_leaves_the_old_checkpoints(data, folder):
    """A limit on the size of files (in KB) cuts the checkpoint of the next epoch off."""
    before = contents(folder)
    size = (folder / "checkpoint_last.pt").stat().st_size
    command = train_command(data, folder, *EPOCH, 4)
    result = run("bash", "-c", f'ulimit -f {size // 2048}; exec "$@"', "-", *command, check=False)
    assert result.returncode == 1 and "File too large" in result.stderr
    left = contents(folder)
    assert {name: left[name] for name in before} == before
    assert {name for name in left if name not in before} <= {"checkpoint_best.pt.tmp"}
    assert torch.load(folder / "checkpoint_last.pt", weights_only=True)["last_optimizer_state"]


def test_scoring_onto_a_full_disk(data, folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    script = f"""
        mount -t tmpfs -o size=64k tmpfs {out}
        echo precious | tee {out}/r.json > {out}/r.hyp.txt
        cat /dev/zero > {out}/full 2> /dev/null || true
        "$@" || echo "exit $?"
        rm {out}/full
        (cd {out} && grep . *)
    """
    command = (sys.executable, "-m", "selfteach_fairseq.cli", "score")
    result = in_a_namespace(
        *(script, *command, folder / "checkpoint_best.pt", data, "--force", "-o", out / "r.json"),
    )
    assert result.stdout == "exit 1\nr.hyp.txt:precious\nr.json:precious\n"
    last = result.stderr.splitlines()[-1]
    assert last.startswith("selfteach score: ") and "can't be written: No space left on" in last
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["train", "truncate"])
def test_a_read_only_folder(data, folder, command):
    before = contents(folder)
    script = f'mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && exec "$@"'
    if command == "train":
        result = in_a_namespace(script, *train_command(data, folder, *EPOCH, 4))
        assert "Read-only file system" in result.stderr.splitlines()[-1]
    else:
        words = ("truncate", folder / "checkpoint_best.pt", "--layers", 2, "-o", folder / "new.pt")
        module = (sys.executable, "-m", "selfteach_fairseq.cli")
        result = in_a_namespace(script, *module, *words)
        assert result.stderr == (
            f"selfteach truncate: {folder}/new.pt: can't be written: "
            "choose a file in a writable folder\n"
        )
    assert result.returncode == 1 and contents(folder) == before
