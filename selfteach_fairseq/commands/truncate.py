"""`selfteach truncate`: cut a student out of a checkpoint."""

import argparse
from pathlib import Path

from .. import checkpoint, truncate
from ..student import Student
from .arguments import add_output


def add(commands):
    command = commands.add_parser("truncate", help="cut a student out of a checkpoint")
    command.add_argument("checkpoint")
    layers = command.add_argument_group("what to keep")
    layers.add_argument("--layers", metavar="N", help="the first layers: 3, or 6x3")
    for side in ("encoder", "decoder"):
        layers.add_argument(
            f"--keep-{side}",
            metavar="I,J",
            type=_layer_numbers,
            help=f"these {side} layers instead, counted from 0, such as 0,2,4",
        )
    command.add_argument("--fp16", action="store_true", help="store half-precision numbers")
    add_output(command)
    command.set_defaults(run=_run)


def _layer_numbers(text):
    numbers = text.split(",") if text else []
    if not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"'{text}': write numbers of layers, such as 0,2,4")
    return [int(number) for number in numbers]


def _run(args):
    checkpoint.check_output(args.output, args.force)
    chosen = args.keep_encoder is not None or args.keep_decoder is not None
    if chosen == (args.layers is not None):
        raise ValueError(
            "say what to keep: either --layers 3, or --keep-encoder and --keep-decoder"
        )
    state = checkpoint.load(args.checkpoint)
    try:
        there = checkpoint.depth(state["model"])
        student = there if args.layers is None else Student.parse(args.layers)
        student.check_fits(*there)
        keep = truncate.first_layers(student)
        for side in keep:
            if getattr(args, f"keep_{side}") is not None:
                keep[side] = getattr(args, f"keep_{side}")
        cut = truncate.truncate(state, keep, args.fp16)
    except ValueError as error:
        raise ValueError(f"{args.checkpoint}: {error}") from None
    checkpoint.save(cut, args.output)
    print(f"{'':8}{'layers':>8}{'parameters':>14}{'bytes':>14}")
    for name, model, path in (
        ("before", state["model"], args.checkpoint),
        ("after", cut["model"], args.output),
    ):
        print(
            f"{name:8}{checkpoint.depth(model)!s:>8}{checkpoint.parameters(model):>14,}"
            f"{Path(path).stat().st_size:>14,}"
        )
