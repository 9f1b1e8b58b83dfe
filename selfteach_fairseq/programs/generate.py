"""fairseq-generate over one checkpoint: what it says, sentence by sentence, and how fast."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fairseq.dataclass.configs import CommonConfig, DatasetConfig, DistributedTrainingConfig
from fairseq.tasks.translation import TranslationConfig

from ..errors import ProcessError, one_line
from ..progress import Progress
from .options import of_generation
from .process import running

if TYPE_CHECKING:
    from ..checkpoints.checkpoint import Checkpoint

_SPEED = re.compile(
    r"Translated ([\d,]+) sentences \(([\d,]+) tokens\) in ([\d.]+)s "
    r"\(([\d.]+) sentences/s, ([\d.]+) tokens/s\)"
)
# What a command says itself.
_OURS = (
    *("task", "source_lang", "target_lang", "path", "results_path", "gen_subset"),
    *("beam", "lenpen", "nbest", "batch_size", "unnormalized"),
)
# What says which sentences there are, and in which languages: the settings of the data, but for
# those of how a sentence is read, and for the general ones that they repeat.
_OF_READING = ("num_workers", "data_buffer_size", "max_tokens", "truncate_source")
_OF_DATA = {
    field.name
    for config in (TranslationConfig, DatasetConfig, DistributedTrainingConfig)
    for field in fields(config)
} - {*_OF_READING, *(field.name for field in fields(CommonConfig))}
# A target or a translation, up to fairseq-generate's next line; and the scores of all tokens.
_TEXT = r"^([TD])-(\d+)\t((?s:.)*?)\n(?=[A-Z]-\d+\t)"
_SCORES = r"^P-(\d+)\t(.*)"
_LINE = re.compile(f"{_TEXT}|{_SCORES}", re.MULTILINE)
_BREAKS = re.compile(r" ?[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+ ?")
_PROGRESS = re.compile(r":\s+(\d+) / (\d+) wps=")


def check_options(words: Iterable[str], *further: str) -> dict[str, Any]:
    """What a user's options say to fairseq-generate, by its own names.

    Raises: ValueError for one that the command decides (`further` are more of those), or that would
        change what is compared.
    """
    said = of_generation(words)
    for name in said:
        flag = f"--{name.replace('_', '-')} is not for fairseq-generate here"
        if name in (*_OURS, *further):
            raise ValueError(f"{flag}: the command decides it, by its own options and the data")
        if name in _OF_DATA or name == "score_reference":
            raise ValueError(
                f"{flag}: it changes the languages or the sentences, of which no record would tell:"
                " make a data folder of them"
            )
    return said


class Hypothesis(NamedTuple):
    """A translation that beam search has ended."""

    text: str
    score: float  # as fairseq-generate prints it: log2 of the probability / length ** lenpen
    length: int  # in tokens, the end of the sentence included


class Output(NamedTuple):
    """What fairseq-generate says, by the sentence's number in the data."""

    hypotheses: dict[int, list[Hypothesis]]  # of each sentence, the best one first
    targets: dict[int, str]  # texts, those of the data
    speed: dict[str, float]  # sentences, tokens and seconds, and how many of them a second

    @property
    def translations(self) -> dict[int, str]:
        """Of each sentence the text of the best hypothesis."""
        return {number: several[0].text for number, several in self.hypotheses.items()}


class Search(NamedTuple):
    """How translations are searched for."""

    beam: int
    lenpen: float = 1.0
    nbest: int = 1


class Limit(NamedTuple):
    """The most tokens of a translation, without its end: a times those of the source, and b."""

    a: float = 0.0
    b: int = 200  # as in fairseq-generate

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Limit":
        """What options say, by fairseq's names; see check_options()."""
        return cls(said.get("max_len_a", cls().a), said.get("max_len_b", cls().b))

    def within(self, source: int, most: int) -> int:
        """For a source of so many tokens, its end included, and a model that writes at `most`."""
        return min(int(self.a * source + self.b), most)


Generate = Callable[[str, list[str]], Output]  # of a subset, with options


@contextmanager
def generating(
    checkpoint: "Checkpoint",
    data: Path | str,
    pair: tuple[str, str],
    threads: int | None = None,
) -> Iterator[Generate]:
    """Gives a function generate(subset, options), which returns an Output.

    It raises a ProcessError if fairseq-generate fails.

    Args:
        checkpoint: a Checkpoint that stock fairseq loads
        data: folder of fairseq-preprocess
        pair: languages, (source, target)
        threads: of its computations on a CPU; None: what torch takes
    """
    source, target = pair
    settings = checkpoint.family.complete(checkpoint.settings)  # type: ignore[union-attr]
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    options = [
        *("--task", "translation", "--source-lang", source, "--target-lang", target),
        # By default fairseq leaves out the last sentences, up to seven (its issue 5036).
        *("--required-batch-size-multiple", "1"),
        # Its task's own are 1,024, however many the model takes.
        *("--max-source-positions", str(settings["max_source_positions"])),
        *("--max-target-positions", str(settings["max_target_positions"])),
    ]
    with tempfile.TemporaryDirectory() as folder:
        # Not the file itself: fairseq would read other settings than Checkpoint, where a file has
        # several, and take a colon in its path as the end of it.
        checkpoint.write(Path(folder, "model.pt"))
        Path(folder, "data").symlink_to(Path(data).absolute())
        yield partial(_generate, folder, options, environment)


def _generate(folder, common, environment, subset, options):
    with tempfile.TemporaryDirectory(dir=folder) as results:
        command = [sys.executable, "-m", "fairseq_cli.generate", f"{folder}/data"]
        command += ["--gen-subset", subset, *common, *options]
        command += ["--path", f"{folder}/model.pt", "--results-path", results]
        log = _run([*command, "--log-format", "simple", "--log-interval", "1"], environment)
        output = Path(results) / f"generate-{subset}.txt"
        text = ""
        if output.is_file():
            with output.open(encoding="utf-8", newline="\n") as lines:
                text = lines.read()
    speed = _SPEED.search(log) or _SPEED.search(text)  # which one depends on who set up logging
    if not speed:
        why = one_line(log.strip().split("\n")[-1])
        raise ProcessError(f"fairseq-generate failed: {why}")

    hypotheses, targets = _read(text)
    if not hypotheses:
        raise ProcessError("fairseq-generate wrote no translations: leave --quiet out")
    sentences, tokens, seconds, per_second, tokens_per_second = speed.groups()
    speed = {
        "sentences": int(sentences.replace(",", "")),
        "tokens": int(tokens.replace(",", "")),
        "seconds": float(seconds),
        "sentences_per_second": float(per_second),
        "tokens_per_second": float(tokens_per_second),
    }
    return Output(hypotheses, targets, speed)


def _read(text):
    """Hypotheses and targets of what fairseq-generate prints: lines `D-NUMBER TAB SCORE TAB TEXT`,
    each followed by `P-NUMBER TAB` and the score of every token. White space in a text, of which
    pieces of bytes may be any, becomes a space."""
    hypotheses, targets = {}, {}
    for kind, number, said, of_scores, scores in _LINE.findall(text):
        if kind == "T":
            targets[int(number)] = _one_line(said)
        elif kind == "D":
            score, _, translation = said.partition("\t")
        else:
            found = Hypothesis(_one_line(translation), float(score), len(scores.split()))
            hypotheses.setdefault(int(of_scores), []).append(found)
    return hypotheses, targets


def _one_line(text):
    return _BREAKS.sub(" ", text)


def _run(command, environment):
    """Run fairseq-generate behind a progress bar; returns what it logged."""
    log = []
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with (
        running(command, env=environment, **pipes) as process,
        Progress("translating") as shown,
    ):
        for line in process.stderr:
            log.append(line)
            if progress := _PROGRESS.search(line):
                shown.reach(int(progress[1]), int(progress[2]))
    return "".join(log)
