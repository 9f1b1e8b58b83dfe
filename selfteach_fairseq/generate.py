"""fairseq-generate over one checkpoint: what it says, sentence by sentence, and how fast."""

import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .checkpoint import save
from .progress import Progress
from .sound import CheckpointError, one_line

_SPEED = re.compile(
    r"Translated ([\d,]+) sentences \(([\d,]+) tokens\) in ([\d.]+)s "
    r"\(([\d.]+) sentences/s, ([\d.]+) tokens/s\)"
)
_PROGRESS = re.compile(r":\s+(\d+) / (\d+) wps=")


class Output(NamedTuple):
    """What fairseq-generate says, texts by the sentence's number in the data."""

    translations: dict
    targets: dict  # those of the data
    speed: dict  # sentences, tokens and seconds, and how many of them a second


@contextmanager
def generating(state, data, pair):
    """Gives a function generate(subset, options), which returns an Output.

    It raises a CheckpointError if fairseq-generate fails.

    Args:
        state: a checkpoint as truncate.load_stock() returns it
        data: folder of fairseq-preprocess
        pair: languages, (source, target)
    """
    source, target = pair
    options = [
        *("--task", "translation", "--source-lang", source, "--target-lang", target),
        # By default fairseq leaves out the last sentences, up to seven (its issue 5036).
        *("--required-batch-size-multiple", "1"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        # Not the file itself: fairseq would read other settings than load(), where a file has
        # several, and take a colon in its path as the end of it.
        save(state, Path(folder, "model.pt"))
        Path(folder, "data").symlink_to(Path(data).absolute())
        yield partial(_generate, folder, options)


def _generate(folder, common, subset, options):
    with tempfile.TemporaryDirectory(dir=folder) as results:
        command = [sys.executable, "-m", "fairseq_cli.generate", f"{folder}/data"]
        command += ["--gen-subset", subset, *common, *options]
        command += ["--path", f"{folder}/model.pt", "--results-path", results]
        log = _run([*command, "--log-format", "simple", "--log-interval", "1"])
        output = Path(results) / f"generate-{subset}.txt"
        text = output.read_text(encoding="utf-8") if output.is_file() else ""
    speed = _SPEED.search(log) or _SPEED.search(text)  # which one depends on who set up logging
    if not speed:
        why = one_line(log.strip().split("\n")[-1])
        raise CheckpointError(f"fairseq-generate failed: {why}")

    lines = {"T": {}, "D": {}}
    for line in text.split("\n"):
        kind, _, rest = line.partition("-")
        if kind in lines and "\t" in rest:
            number, *_, sentence = rest.split("\t")
            lines[kind].setdefault(int(number), sentence)  # the best comes first
    if not lines["D"]:
        raise CheckpointError("fairseq-generate wrote no translations: leave --quiet out")
    sentences, tokens, seconds, per_second, tokens_per_second = speed.groups()
    speed = {
        "sentences": int(sentences.replace(",", "")),
        "tokens": int(tokens.replace(",", "")),
        "seconds": float(seconds),
        "sentences_per_second": float(per_second),
        "tokens_per_second": float(tokens_per_second),
    }
    return Output(lines["D"], lines["T"], speed)


def _run(command):
    """Run fairseq-generate behind a progress bar; returns what it logged."""
    log = []
    with (
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process,
        Progress("translating") as shown,
    ):
        for line in process.stderr:
            log.append(line)
            if progress := _PROGRESS.search(line):
                shown.reach(int(progress[1]), int(progress[2]))
    return "".join(log)
