"""A corpus that the tests make up, and the real command lines around it."""

import atexit
import functools
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest
from prefork import SCRIPTS, STOCK_SCRIPTS, remember_settings

ROOT = Path(__file__).parent.parent
USER_DIR = ROOT / "selfteach_fairseq"
sys.path[:0] = [str(ROOT), str(Path(__file__).parent), str(ROOT / "recipes" / "corpora")]
sys.dont_write_bytecode = False  # by which each command would compile what it imports
# The same examples every time, however busy the machine is.
hypothesis.settings.register_profile("ours", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ours")
_PATHS = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(_PATHS)}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config):
    if config.option.dist == "no":  # a process that tests, not the one that hands tests out
        import torch

        import selfteach_fairseq  # noqa: F401  registers what the tests build

        remember_settings()
        torch.set_num_threads(1)


@functools.cache
def python():
    """A `python` that starts fairseq's commands, and ours, without the time to import fairseq.

    With a GPU it is the usual one: no fork of a process that has looked for it can use it.
    """
    import torch

    if torch.cuda.is_available():
        return sys.executable
    folder = tempfile.TemporaryDirectory()
    script, address = Path(folder.name, "python"), Path(folder.name, "socket")
    prefork = ROOT / "tests/prefork.py"
    forked = " | ".join(f"*/{name}" for name in (*SCRIPTS, *STOCK_SCRIPTS))
    script.write_text(
        f'#!/bin/sh\ncase "$1" in\n'
        f'-m | {forked}) exec "{sys.executable}" -IS "{prefork}" "{address}" "$@" ;;\n'
        f'-u | */stages.py) exec "{sys.executable}" -S "$@" ;;\n'  # which need no package
        f'esac\nexec "{sys.executable}" "$@"\n'
    )
    script.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, prefork, address, "--serve"], env=ENVIRONMENT, stdout=subprocess.PIPE
    )
    atexit.register(folder.cleanup)
    atexit.register(server.kill)
    server.stdout.readline()
    return str(script)


def run(*command, cwd=None, check=True):
    """Run a command as a user would; the result has stdout and stderr as text."""
    words = [python() if word == sys.executable else str(word) for word in command[:1]]
    result = subprocess.run(
        [*words, *map(str, command[1:])],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if check and result.returncode:
        raise AssertionError(f"{command} failed:\n{result.stdout}\n{result.stderr}")
    return result


def fairseq(command, *arguments, **options):
    return run(sys.executable, "-m", f"fairseq_cli.{command}", *arguments, **options)


def torchrun(*command):
    """Run a command as two workers, which are told of each other by the environment."""
    here = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    return run(*here, "--no-python", *command)


def selfteach(*arguments, **options):
    return run(sys.executable, "-m", "selfteach_fairseq.cli", *arguments, **options)


def train_command(data, save_dir, *flags):
    """fairseq-train of a tiny model: 4 encoder and 3 decoder layers unless `flags` say else."""
    return (
        *(sys.executable, "-m", "fairseq_cli.train"),
        *(data, "--user-dir", USER_DIR, "--save-dir", save_dir, "--cpu"),
        *("--arch", "transformer_selfteach_tiny", "--encoder-layers", 4, "--decoder-layers", 3),
        *("--encoder-embed-dim", 16, "--encoder-ffn-embed-dim", 16, "--share-all-embeddings"),
        *("--criterion", "label_smoothed_ce_selfteach", "--label-smoothing", 0.1),
        *("--optimizer", "adam", "--lr", 0.01, "--max-tokens", 256, "--max-epoch", 2),
        *("--required-batch-size-multiple", 1, "--num-workers", 0, "--no-epoch-checkpoints"),
        *("--no-progress-bar", "--log-format", "simple", *flags),
    )


def train(data, save_dir, *flags, **options):
    return run(*train_command(data, save_dir, *flags), **options)


def train_as_two(*command):
    """Run a train_command by two workers that share each batch."""
    return torchrun(
        *("bash", "-c", 'exec "$@" --distributed-rank "$RANK"', "bash", python(), *command[1:]),
        *("--distributed-world-size", 2, "--distributed-init-method", "env://"),
        *("--distributed-no-spawn", "--distributed-backend", "gloo"),
    )


def install_commands(folder):
    """Put the commands that an installation has into a folder; the environment to call them in."""
    folder.mkdir(exist_ok=True)
    for name, module in {
        "python": "",
        "python3": "",
        "fairseq-preprocess": "-m fairseq_cli.preprocess",
        "fairseq-train": "-m fairseq_cli.train",
        "fairseq-generate": "-m fairseq_cli.generate",
        "selfteach": "-m selfteach_fairseq.cli",
        "torchrun": "-m torch.distributed.run",
    }.items():
        (folder / name).write_text(f'#!/bin/sh\nexec "{python()}" {module} "$@"\n')
        (folder / name).chmod(0o755)
    return {**ENVIRONMENT, "PATH": f"{folder}:{ENVIRONMENT['PATH']}"}


def make_text(folder, seed=0):
    """Parallel text of a made-up language, in which each word has one translation."""
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(30)]
    for split, lines in (("train", 120), ("valid", 19), ("test", 21)):
        sentences = [rng.choices(words, k=rng.randint(1, 9)) for _ in range(lines)]
        for language, translate in (("xx", str.lower), ("en", str.upper)):
            (folder / f"{split}.{language}").write_text(
                "".join(" ".join(map(translate, s)) + "\n" for s in sentences)
            )


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder of fairseq-preprocess with a joint dictionary, of language pair xx-en."""
    folder = tmp_path_factory.mktemp("data")
    make_text(folder)
    fairseq(
        *("preprocess", "--source-lang", "xx", "--target-lang", "en", "--joined-dictionary"),
        *("--trainpref", folder / "train", "--validpref", folder / "valid"),
        *("--testpref", folder / "test", "--destdir", folder / "bin"),
    )
    return folder / "bin"


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """The folder of a finished run of self-teaching with the student 2x1."""
    folder = tmp_path_factory.mktemp("trained")
    train(data, folder, "--student-layers", "2x1", "--max-epoch", 3)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """CTranslate2 sets torch's number of threads, too, and sums depend on it in the last bit."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def project(tmp_path):
    from project import Project  # which takes its commands from here

    folder = tmp_path / "the project"
    folder.mkdir()
    return Project(folder)


@pytest.fixture
def survived(record_property):
    """Notes how many faults of a kind were tried and survived, for the table of test-slow."""
    return lambda kind, count: record_property("survived", (kind, count))


def pytest_terminal_summary(terminalreporter):
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == "survived"
    ]
    if rows:
        terminalreporter.section("faults")
        terminalreporter.write_line("| kind of fault | tried | survived |\n|---|---:|---:|")
        for kind, count in sorted(rows):
            terminalreporter.write_line(f"| {kind} | {count} | {count} |")
