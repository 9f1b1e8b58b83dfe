"""Translate a test set with fairseq and say how good, how large and how fast a model is."""

import json
import platform
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from sacrebleu.metrics import BLEU, CHRF

from . import __version__
from .checkpoint import depth, parameters, save
from .data import dictionaries, languages
from .files import whole
from .progress import Progress
from .sound import CheckpointError, lines_of, one_line
from .truncate import load_stock

_SPEED = re.compile(
    r"Translated ([\d,]+) sentences \(([\d,]+) tokens\) in ([\d.]+)s "
    r"\(([\d.]+) sentences/s, ([\d.]+) tokens/s\)"
)
_PROGRESS = re.compile(r":\s+(\d+) / (\d+) wps=")


def score(checkpoint, data, *, subset, beam, lenpen, batch_size, references, repeat, options):
    """Run fairseq-generate and sacreBLEU over one checkpoint.

    Args:
        checkpoint: path of any fairseq Transformer checkpoint
        data: folder of fairseq-preprocess
        subset: test, valid, ...
        beam, lenpen, batch_size: as fairseq-generate's options; batch_size in sentences
        references: file of raw reference translations, one a line; None: the targets in `data`
        repeat: translate so many times; the speed is the median one
        options: further options for fairseq-generate, a list of strings

    Returns: (record, translations): plain data for JSON, and the detokenised translations.
    Raises: CheckpointError for a checkpoint, dictionary or reference that doesn't fit.
    """
    state = load_stock(checkpoint)
    source, target = languages(state["cfg"]["task"], data)
    _, dictionary = dictionaries(state, data, (source, target))
    given = None if references is None else lines_of(references)
    command = [
        *("--gen-subset", subset, "--task", "translation"),
        *("--source-lang", source, "--target-lang", target),
        *("--beam", str(beam), "--lenpen", str(lenpen), "--batch-size", str(batch_size)),
        # By default fairseq leaves out the last sentences, up to seven (its issue 5036).
        *("--required-batch-size-multiple", "1"),
        *(*_joining(dictionary), *options),
    ]
    with tempfile.TemporaryDirectory() as folder:
        # Not the file itself: fairseq would read other settings than load(), where a file has
        # several, and take a colon in its path as the end of it.
        save(state, Path(folder, "model.pt"))
        Path(folder, "data").symlink_to(Path(data).absolute())
        runs = [_generate(folder, subset, command) for _ in range(repeat)]
    translations, targets, speed = sorted(runs, key=lambda run: run[2]["seconds"])[repeat // 2]
    if given is not None:
        if len(given) != len(translations):
            raise CheckpointError(
                f"{references}: {len(given)} lines for {len(translations)} sentences of {subset}"
            )
        targets = given

    record = {
        "checkpoint": str(checkpoint),
        "subset": subset,
        "source": source,
        "target": target,
        "references": "targets of the data folder" if references is None else str(references),
        **_quality(translations, targets),
        **depth(state["model"])._asdict(),
        "parameters": parameters(state["model"]),
        "bytes": Path(checkpoint).stat().st_size,
        **speed,
        "speed_runs": repeat,
        "beam": beam,
        "lenpen": lenpen,
        "batch_size": batch_size,
        "updates": state["optimizer_history"][-1]["num_updates"],
        "training_seconds": (state.get("extra_state") or {}).get("previous_training_time"),
        "hardware": hardware(),
        "versions": _versions(),
    }
    return record, translations


def _joining(dictionary):
    """The options that make words of the pieces in a dictionary, if it has any."""
    if any("\u2581" in symbol for symbol in dictionary.symbols):
        return "--post-process", "sentencepiece"
    if any(symbol.endswith("@@") for symbol in dictionary.symbols):
        return "--post-process", "subword_nmt"
    return ()


def _generate(folder, subset, options):
    """Run fairseq-generate: translations and targets in the order of the data, and the speed.

    Args:
        folder: with model.pt and data
    """
    with tempfile.TemporaryDirectory(dir=folder) as results:
        command = [sys.executable, "-m", "fairseq_cli.generate", f"{folder}/data", *options]
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
    numbers = sorted(lines["D"])
    if not numbers:
        raise CheckpointError("fairseq-generate wrote no translations: leave --quiet out")
    sentences, tokens, seconds, per_second, tokens_per_second = speed.groups()
    return (
        [lines["D"][number] for number in numbers],
        [lines["T"].get(number, "") for number in numbers],
        {
            "sentences": int(sentences.replace(",", "")),
            "tokens": int(tokens.replace(",", "")),
            "seconds": float(seconds),
            "sentences_per_second": float(per_second),
            "tokens_per_second": float(tokens_per_second),
        },
    )


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


def _quality(translations, targets):
    quality = {}
    for name, metric in (("bleu", BLEU()), ("bleu_lc", BLEU(lowercase=True)), ("chrf", CHRF())):
        quality[name] = round(metric.corpus_score(translations, [targets]).score, 2)
        quality[f"{name}_signature"] = str(metric.get_signature())
    return quality


def hardware():
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_cpu_name()}, {torch.get_num_threads()} threads"


def _cpu_name():
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _versions():
    versions = {"selfteach_fairseq": __version__, "python": platform.python_version()}
    for package in ("ve-fairseq", "fairseq", "torch", "sacrebleu"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def translations_path(record_path):
    """Where the translations are that belong to a record: beside it, as `NAME.hyp.txt`."""
    return Path(record_path).with_suffix(".hyp.txt")


def write(record, translations, path):
    """Write `path` (JSON) and the translations beside it.

    Raises: OSError, with one line, if either can't be written; then both are what they were.
    """
    with whole(path) as file:
        file.write((json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
        file.flush()  # so that a full disk shows before the translations replace the old ones
        with whole(translations_path(path)) as text:
            text.write("".join(line + "\n" for line in translations).encode())
