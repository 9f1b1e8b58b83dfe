"""`selfteach average`: average checkpoints of one run."""

from ..arguments import Commands, add_output
from ..checkpoints.average import average
from ..files import check_output


def add(commands: Commands) -> None:
    command = commands.add_parser("average", help="average the models in checkpoints of one run")
    command.add_argument("checkpoints", nargs="+")
    add_output(command)
    command.set_defaults(run=_run)


def _run(args):
    check_output(args.output, args.force)
    mean, copies = average(args.checkpoints)
    mean.write(args.output)
    print(f"{args.output}: mean of {len(args.checkpoints) - len(copies)} checkpoints")
    if copies:
        print(f"left out, as copies of others among them: {', '.join(copies)}")
