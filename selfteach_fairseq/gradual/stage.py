"""A stage of a gradual schedule: one training, of one depth with the next one as its student."""

import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ..layers import SIDES, Layers
from ..programs.logs import LOSS
from ..programs.options import refuse, value_of
from ..programs.process import USER_DIR

# What a stage's command says itself.
_OURS = (
    *("--user-dir", "--criterion", "--save-dir", "--encoder-layers"),
    *("--decoder-layers", "--student-layers", "--student-sampling", "--restore-file"),
    *("--finetune-from-model", "--patience", "--max-update", "--best-checkpoint-metric"),
    *("--maximize-best-checkpoint-metric", "--no-save", "--no-last-checkpoints"),
    *("--disable-validation", "--continue-once", "--checkpoint-suffix"),
    *(f"--reset-{what}" for what in ("optimizer", "meters", "lr-scheduler", "dataloader")),
)


class Task(NamedTuple):
    """What models are trained to do."""

    criterion: str
    figure: str  # of validation, by which the best checkpoint is chosen
    larger_is_better: bool
    unit: str


TRANSLATION = Task("label_smoothed_ce_selfteach", LOSS, False, "bits per token")
CLASSIFICATION = Task("sentence_prediction_selfteach", "accuracy", True, "accuracy")


class Stage(NamedTuple):
    """One training: of a model of some depth, with the next depth as its student."""

    full: Layers
    student: Layers
    updates: int | None  # so many
    patience: int | None  # or until so many validations in a row are no better for the student
    options: list[str]  # further ones of fairseq-train

    def command(self, data: Path | str, folder: Path | str, start: Path | str | None) -> list[str]:
        """fairseq-train's command line; `start` is a checkpoint to take the weights from."""
        command = [
            *(sys.executable, "-m", "fairseq_cli.train", str(data)),
            *(*self.saves(), *self._options()),
            *("--user-dir", str(USER_DIR), "--save-dir", str(folder)),
            *("--criterion", self.task.criterion, "--student-layers", str(self.student)),
            *(f"--{side}-layers={n}" for side, n in zip(SIDES, self.full.counts, strict=False)),
            *("--best-checkpoint-metric", self.metric),
            *["--maximize-best-checkpoint-metric"] * self.task.larger_is_better,
        ]
        if self.updates:
            command += ["--max-update", str(self.updates)]
        if self.patience:
            command += ["--patience", str(self.patience)]
        if start:
            command += ["--finetune-from-model", str(start)]
        return command

    @property
    def task(self) -> Task:
        return TRANSLATION if self.full.decoder else CLASSIFICATION

    @property
    def metric(self) -> str:
        return self.student.metric.removesuffix(LOSS) + self.task.figure

    def saves(self) -> list[str]:
        """Options that save at every validation: fairseq keeps the best of what it saves.

        Raises: ValueError if the user's options validate without saving, or not at all, or log in a
            way that can't be read.
        """
        form = value_of("--log-format", self.options)
        if form in ("json", "none"):
            raise ValueError(f"--log-format {form}: the schedule reads simple ones: leave it out")
        after = self._number("--validate-after-updates") or 0
        if self.updates and after > self.updates:
            raise ValueError(
                f"--validate-after-updates {after}: a stage of {self.updates} updates would never "
                "be validated: lower it"
            )
        self._check_divides("--save-interval", "--validate-interval", 1)
        every = self._number("--validate-interval-updates") or 0
        if every < 1:
            return []
        if self._number("--save-interval-updates") is None:
            return ["--save-interval-updates", str(every), "--keep-interval-updates", "1"]
        self._check_divides("--save-interval-updates", "--validate-interval-updates", every)
        return []

    def _check_divides(self, save, validate, default):
        saved, validated = (self._number(flag) for flag in (save, validate))
        saved, validated = default if saved is None else saved, validated or default
        if saved < 1 or validated % saved:
            raise ValueError(
                f"{save} {saved}: the best of the validations, one every {validated} "
                f"({validate}), would not always be saved: leave it out, or let it divide that"
            )

    def _number(self, flag: str) -> int | None:
        """What a flag says, None without. Raises: ValueError if that is no number."""
        value = value_of(flag, self.options)
        try:
            return None if value is None else int(value)
        except ValueError:
            raise ValueError(f"{flag} {value}: must be a number") from None

    def _options(self):
        """A learning rate that falls towards a last update reaches it at the stage's."""
        options = list(self.options)
        for i, word in enumerate(options):
            if self.updates and word == "--total-num-update" and i + 1 < len(options):
                options[i + 1] = str(self.updates)
            elif self.updates and word.startswith("--total-num-update="):
                options[i] = f"--total-num-update={self.updates}"
        return options


def stages_of(
    depths: Iterable[Layers],
    updates: list[int] | None,
    patience: int | None,
    options: list[str],
    later_options: list[str],
) -> list[Stage]:
    """The Stages of a schedule.

    Args:
        depths: two or more Students, as parse_schedule() returns them
        updates: how many each stage has, a list of one number for all or of one for each; or None
        patience: validations in a row without a gain that end a stage; or None
        options: fairseq-train's, of all stages
        later_options: and of those after the first, which win over these

    Raises: ValueError if the numbers of updates and stages differ, or for options that the
        schedule decides, or by which it would cut another checkpoint than the best.
    """
    steps = list(pairwise(depths))
    counts: list[int | None] = [*updates] if updates else [None]
    if len(counts) == 1:
        counts = counts * len(steps)
    if len(counts) != len(steps):
        raise ValueError(
            f"--stage-updates {','.join(map(str, counts))}: the schedule has {len(steps)} stages: "
            "write one number for all, or one for each"
        )
    refuse(_OURS, [*options, *later_options], "fairseq-train here: the schedule decides it")
    stages = [
        Stage(*step, number, patience, [*options, *(later_options if i else ())])
        for i, (step, number) in enumerate(zip(steps, counts, strict=True))
    ]
    for stage in stages:
        stage.saves()  # before the first one trains
    return stages
