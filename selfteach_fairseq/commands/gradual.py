"""`selfteach gradual`: train and cut, a few layers at a time."""

import shlex
import subprocess

from ..arguments import Commands, positive
from ..classes.classifier import is_classified
from ..gradual.gradual import Gradual
from ..gradual.schedule import parse_schedule
from ..gradual.stage import stages_of
from ..importance import run as importance_run

_PATIENCE = 5
_USAGE = 2  # how a command ends that doesn't know an option


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "gradual",
        help="train, cut a few layers, train what is left, and so on",
        epilog="Options after -- go to fairseq-train, in every stage. A stage ends after "
        "--stage-updates, or once --patience is over, whichever comes first. Interrupted, the same "
        "command goes on.",
    )
    command.add_argument("data", help="folder of fairseq-preprocess")
    command.add_argument(
        "--schedule",
        required=True,
        help="depths: 6,5,4,3 or 6x6,6x4,6x3; or single:6-3, halving:12-3, decreasing:12-3; or "
        "auto:6-3, by the importance of the layers of --init",
    )
    command.add_argument("--save-dir", required=True, help="folder for the stages and the models")
    command.add_argument(
        "--init", metavar="CHECKPOINT", help="start from these weights (default: from scratch)"
    )
    command.add_argument(
        "--stage-updates",
        metavar="N[,N...]",
        type=lambda text: [positive(number) for number in text.split(",")],
        help="updates of a stage: one number for all stages, or one for each. A "
        "--total-num-update is set to it.",
    )
    command.add_argument(
        "--patience",
        metavar="N",
        type=positive,
        help="end a stage after so many validations without a gain for its student "
        f"(default: {_PATIENCE}, or no end with --stage-updates)",
    )
    command.add_argument(
        "--later",
        metavar="OPTIONS",
        default="",
        help="options of fairseq-train for the stages after the first, in one word, such as "
        "'--lr 1e-3 --warmup-updates 100'",
    )
    command.set_defaults(run=_run)


def _run(args):
    encoder_only = is_classified(args.data)
    depths = parse_schedule(args.schedule, lambda: _importance(args), encoder_only)
    patience = args.patience or (None if args.stage_updates else _PATIENCE)
    later = shlex.split(args.later)
    stages = stages_of(depths, args.stage_updates, patience, args.options, later)
    gradual = Gradual(args.data, args.save_dir, stages, args.init)
    try:
        state = gradual.run()
    except subprocess.CalledProcessError as error:
        way_out = "correct it" if error.returncode == _USAGE else "the same command goes on"
        raise ValueError(
            f"fairseq-train ended with code {error.returncode}, see above; {way_out}"
        ) from None
    task = stages[0].task
    print(f"\n{task.unit} on validation text, in each stage when its student was best:")
    print(
        f"{'stage':>5}{'model':>8}{'student':>9}{'updates':>9}{'minutes':>9}{'model':>9}{'student':>9}"
    )
    for number, stage in enumerate(state["stages"], start=1):
        print(
            f"{number:>5}{stage['full']:>8}{stage['student']:>9}{stage['updates']:>9,}"
            f"{stage['training_seconds'] / 60:>9.1f}"
            f"{_shown(stage[f'full_{task.figure}']):>9}{_shown(stage[f'student_{task.figure}']):>9}"
        )
    for depth in depths:
        print(f"{gradual.model(depth)}")


def _importance(args):
    if args.init is None:
        raise ValueError("name the model whose layers to weigh with --init")
    return importance_run.of_checkpoint(args.init, args.data)


def _shown(value):
    return "-" if value is None else f"{value:.3f}"
