"""`selfteach average`: average checkpoints of one run."""

from .. import checkpoint
from .arguments import add_output


def add(commands):
    command = commands.add_parser("average", help="average the models in checkpoints of one run")
    command.add_argument("checkpoints", nargs="+")
    add_output(command)
    command.set_defaults(run=_run)


def _run(args):
    checkpoint.check_output(args.output, args.force)
    checkpoint.save(checkpoint.average(args.checkpoints), args.output)
    print(f"{args.output}: mean of {len(args.checkpoints)} checkpoints")
