"""`selfteach distil`: the training text as a teacher translates it."""

from .. import distil
from ..arguments import Commands, number, positive


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "distil",
        help="make a data folder whose training targets are a teacher's translations",
        epilog="Interrupted, the same command goes on. Options after -- go to fairseq-generate.",
    )
    command.add_argument("teacher", help="checkpoint")
    command.add_argument("data", help="folder of fairseq-preprocess")
    command.add_argument(
        "-o", "--output", required=True, help="folder to write, for fairseq-train: as DATA is"
    )
    command.add_argument("--beam", type=positive, default=5, help="default: 5")
    command.add_argument("--lenpen", type=number, default=1.0, help="length penalty, default: 1")
    command.add_argument("--batch-size", type=positive, default=64, help="sentences, default: 64")
    command.add_argument(
        "--shards",
        metavar="N",
        type=positive,
        help=f"parts, of which finished ones are kept, default: of {distil.SHARD_SENTENCES:,} "
        "sentences each",
    )
    command.set_defaults(run=_run)


def _run(args):
    sentences, kept = distil.distil(
        args.teacher,
        args.data,
        args.output,
        beam=args.beam,
        lenpen=args.lenpen,
        batch_size=args.batch_size,
        shards=args.shards,
        options=args.options,
    )
    print(f"{args.output}: {sentences - kept:,} of {sentences:,} sentences translated")
