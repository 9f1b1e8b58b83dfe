"""`selfteach translate`: lines of text, by an exported model."""

import os
import sys

from ..arguments import Commands, number, positive, threads_within
from ..export.translate import Translator, check_standard_streams, stream_standard


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "translate",
        help="translate lines of text with what export made",
        usage="selfteach translate [options] FOLDER <in >out",
        description="Translate lines of UTF-8 text from standard input to standard output.",
    )
    command.add_argument("folder", metavar="FOLDER", help="of `selfteach export`")
    command.add_argument("--beam", type=positive, help="default: the folder's")
    command.add_argument(
        "--lenpen", metavar="X", type=number, help="length penalty, default: the folder's"
    )
    command.add_argument(
        "--threads",
        metavar="N",
        type=positive,
        help="batches to translate at once on a CPU (default: as many as it may use)",
    )
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    command.set_defaults(run=_run)


def _run(args):
    check_standard_streams()
    translator = Translator(
        args.folder,
        beam=args.beam,
        lenpen=args.lenpen,
        device=args.device,
        threads=_threads(args),
    )
    if not translator.settings.subwords:
        print(
            f"{args.folder} has no sentencepiece model: it takes and gives tokens, with spaces "
            "between",
            file=sys.stderr,
        )
    stream_standard(translator, "translating")


def _threads(args):
    if args.device != "cpu":
        if args.threads:
            raise ValueError("--threads: is of a CPU: leave it out, or --device cuda")
        return 1
    return threads_within(args.threads) or len(os.sched_getaffinity(0))
