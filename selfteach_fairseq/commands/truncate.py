"""`selfteach truncate`: cut a student out of a checkpoint."""

import argparse
from pathlib import Path

from ..arguments import Commands, add_output
from ..checkpoints.checkpoint import Checkpoint
from ..files import check_output
from ..layers import Choice, Layers


def add(commands: Commands) -> None:
    command = commands.add_parser("truncate", help="cut a student out of a checkpoint")
    command.add_argument("checkpoint")
    layers = command.add_argument_group("what to keep")
    layers.add_argument(
        "--layers",
        metavar="N",
        help="the first layers: 3, or 6x3; last3x3: the encoder's last ones; 0+2+4x0+2: these, "
        "counted from 0",
    )
    for side in ("encoder", "decoder"):
        layers.add_argument(
            f"--keep-{side}",
            metavar="I,J",
            type=_layer_numbers,
            help=f"these {side} layers instead, counted from 0, such as 0,2,4",
        )
    command.add_argument(
        "--made-of",
        metavar="LAYERS",
        help="note these as its layers: it was cut out of a larger model before, as --layers of "
        "this says them, and then trained further",
    )
    command.add_argument("--fp16", action="store_true", help="store half-precision numbers")
    add_output(command)
    command.set_defaults(run=_run)


def _layer_numbers(text):
    numbers = text.split(",") if text else []
    if not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"'{text}': write numbers of layers, such as 0,2,4")
    return Choice.of(map(int, numbers))


def _run(args):
    check_output(args.output, args.force)
    listed = {"encoder": args.keep_encoder, "decoder": args.keep_decoder}
    listed = {side: choice for side, choice in listed.items() if choice is not None}
    if bool(listed) == (args.layers is not None):
        raise ValueError(
            "say what to keep: either --layers 3, or --keep-encoder and --keep-decoder"
        )
    before = Checkpoint.read(args.checkpoint)
    made_of = Layers.parse(args.made_of, before.is_encoder) if args.made_of else None
    after = before.cut(_layers(args.layers, listed, before), args.fp16, made_of)
    sizes = [Path(args.checkpoint).stat().st_size]  # which may be where it is written
    after.write(args.output)
    sizes.append(Path(args.output).stat().st_size)
    print(f"{'':8}{'layers':>8}{'parameters':>14}{'bytes':>14}")
    for name, one, size in zip(("before", "after"), (before, after), sizes, strict=True):
        print(f"{name:8}{one.layers!s:>8}{one.parameters:>14,}{size:>14,}")


def _layers(spec, listed, checkpoint):
    """What is asked for: `listed` replaces sides of the whole model."""
    if spec is not None:
        return Layers.parse(spec, checkpoint.is_encoder)
    return checkpoint.layers._replace(**listed) if checkpoint.layers else Layers(**listed)
