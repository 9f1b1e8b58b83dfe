"""Gradual self-teaching: train, cut a few layers, train what is left (Li and Odoom 2023, 3.2).

Each stage is a fairseq-train of its own, in a process and a folder of its own: fairseq keeps what
it counts for early stopping in its functions. A stage's model starts from the weights that the
stage before cut out, its optimizer from nothing.
"""

import fcntl
import hashlib
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..checkpoints.checkpoint import Checkpoint
from ..errors import CheckpointError
from ..files import sha256, write_json
from ..layers import Layers
from ..programs import logs
from ..programs.process import running
from .stage import Stage
from .state import STATE, read_state, stage_folder


class Gradual:
    """A schedule's folder: a fairseq run for each stage, a model for each depth, its state.

    `stage1-6x6/` and so on are fairseq's runs, `model-6x6.pt` and so on stock checkpoints of what
    was cut out, and `schedule.json` says what each stage cost and reached.

    Raises: ValueError if the folder is of another schedule, or another process is at work there.
    """

    def __init__(
        self,
        data: Path | str,
        folder: Path | str,
        stages: list[Stage],
        init: Path | str | None = None,
    ) -> None:
        """`init` is the path of a checkpoint to start the first stage from, of any transformer.

        Raises: ValueError if there is no data.
        """
        self.data, self.folder, self.stages, self.init = data, Path(folder), stages, init
        self.state: dict[str, Any] = {
            "version": 1,
            "data_sha256": _digest(data),
            "init_sha256": None,
            "stages": [],
        }

    def run(self) -> dict[str, Any]:
        """Runs what has not been run. Returns: the state, as it is in schedule.json.

        Raises: ValueError, or CalledProcessError if a stage's training fails.
        """
        init = self._read_init()
        self.folder.mkdir(parents=True, exist_ok=True)
        with _only_one(self.folder) as lock:
            self._check_state()
            start = None
            if init:
                start = self.folder / "init.pt"
                if not start.exists():
                    self._write()  # first, for checkpoints without a state are another run's
                    init.write(start)
            for number, stage in enumerate(self.stages, start=1):
                entry = self._entry(number, stage)
                if f"student_{stage.task.figure}" not in entry:
                    self._train(number, stage, start, lock)
                    entry |= self._finish(number, stage, start)
                    self._write()
                start = self.model(stage.student)
        return self.state

    def model(self, depth: Layers) -> Path:
        """Where the model of a depth is, once it is there."""
        return self.folder / f"model-{depth}.pt"

    def _read_init(self) -> Checkpoint | None:
        """The checkpoint to start from, as a stock transformer's; None without."""
        if self.init is None:
            return None
        stock = Checkpoint.read(self.init).stock()
        first = self.stages[0].full
        if stock.layers != first:
            raise CheckpointError(
                f"{self.init}: has {stock.layers} layers: begin the schedule with these, not "
                f"{first}"
            )
        self.state["init_sha256"] = sha256(self.init)
        return stock

    def _check_state(self):
        """Takes up the folder's state, if there is one of the same settings so far."""
        path = self.folder / STATE
        if not path.exists():
            if any(self.folder.glob("*.pt")):
                raise ValueError(f"{self.folder}: has checkpoints of other runs: choose another")
            return
        state = read_state(path)
        if state["stages"] and not self._has_trained(len(state["stages"]), state["stages"][-1]):
            state["stages"].pop()  # its command may have been wrong
        wanted = [_settings(stage) for stage in self.stages]
        begun = [{key: entry.get(key) for key in wanted[0]} for entry in state["stages"]]
        state = {"data_sha256": self.state["data_sha256"], **state}  # older ones lack it
        same = all(state[key] == self.state[key] for key in ("data_sha256", "init_sha256"))
        if not same or begun != wanted[: len(begun)]:
            raise ValueError(
                f"{self.folder}: has stages of another schedule, or of other data, options or "
                "weights: choose another --save-dir"
            )
        self.state = state

    def _has_trained(self, number, entry):
        folder = stage_folder(self.folder, number, entry["full"])
        return "updates" in entry or any(folder.glob("checkpoint*.pt"))

    def _entry(self, number, stage):
        """The entry of a stage in the state, which stands there from the stage's beginning."""
        if len(self.state["stages"]) < number:
            self.state["stages"].append(_settings(stage))
            self._write()
        return self.state["stages"][number - 1]

    def _write(self):
        write_json(self.state, self.folder / STATE)

    def _train(self, number, stage, start, lock):
        print(
            f"stage {number} of {len(self.stages)}: {stage.full} layers, teaching its "
            f"{'first ' * stage.student.are_first}{stage.student}",
            flush=True,
        )
        folder = stage_folder(self.folder, number, stage.full)
        folder.mkdir(exist_ok=True)
        _run(stage.command(self.data, folder, start), folder / "train.log", lock)

    def _finish(self, number, stage, start):
        """Cuts what the stage has trained. Returns: what it cost and reached.

        Raises: ValueError if it has never been validated.
        """
        folder = stage_folder(self.folder, number, stage.full)
        best = folder / "checkpoint_best.pt"
        if not best.exists():
            raise ValueError(
                f"{folder}: has ended without a validation: lower --validate-interval or "
                "--validate-after-updates, or let it train longer, in another --save-dir"
            )
        trained = Checkpoint.read(best)
        depths = [stage.full, stage.student] if number == 1 else [stage.student]
        for depth in depths:
            trained.cut(depth).write(self.model(depth))
        last = Checkpoint.read(folder / "checkpoint_last.pt")
        # fairseq counts on from there.
        before = (Checkpoint.read(start).training_seconds or 0) if start else 0
        figure = stage.task.figure
        of_full = dict(logs.read(folder / "train.log", figure).get(logs.FULL, []))
        return {
            "updates": last.updates,
            "best_update": trained.updates,
            "training_seconds": round((last.training_seconds or 0) - before, 1),
            f"full_{figure}": of_full.get(trained.updates),
            f"student_{figure}": trained.validation_loss,
        }


def _run(command, log, lock):
    """Runs a training, and keeps all that it says as well as passing it on.

    It holds the lock, too, for it may outlive this process, if that is killed.

    Raises: CalledProcessError if it fails.
    """
    with (
        open(log, "ab") as kept,
        running(command, stdout=subprocess.PIPE, pass_fds=[lock]) as process,
    ):
        for line in process.stdout:
            for output in (kept, sys.stdout.buffer):
                output.write(line)
                output.flush()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _digest(data):
    """Of the dictionaries, and of how long each sentence is: it tells texts apart, and is fast.

    Raises: ValueError if the folder has none.
    """
    digests = [
        f"{path.relative_to(folder)} {sha256(path)}"
        for folder in str(data).split(":")
        for pattern in ("dict.*.txt", "train.*.idx", "*/dict.txt", "*/train.idx")
        for path in sorted(Path(folder).glob(pattern))
    ]
    if not digests:
        raise ValueError(f"{data}: has no data of fairseq-preprocess: name the folder that has")
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _settings(stage):
    return {
        "full": str(stage.full),
        "student": str(stage.student),
        "stage_updates": stage.updates,
        "patience": stage.patience,
        "options": stage.options,
    }


@contextmanager
def _only_one(folder):
    """A file descriptor that keeps other processes out, for as long as anyone has it open."""
    with open(folder / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another run is at work there: let it end first") from None
        yield file.fileno()
