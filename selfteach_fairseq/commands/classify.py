"""`selfteach classify`: labels for lines of text."""

import sys

import torch

from ..arguments import Commands, positive, threads_within
from ..classes.text import TextClassifier
from ..export.translate import check_standard_streams, stream_standard


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "classify",
        help="predict labels for lines of text",
        usage="selfteach classify [options] FOLDER <in >out",
        description="Predict the labels of lines of UTF-8 text, or of two texts with a tab between "
        "them, from standard input to standard output.",
    )
    command.add_argument(
        "folder",
        metavar="FOLDER",
        help="model.pt, input0/dict.txt, label/dict.txt, tokenizer.json or spm.model",
    )
    command.add_argument(
        "--probabilities", action="store_true", help="of all labels, too, after tabs"
    )
    command.add_argument("--threads", metavar="N", type=positive, help="default: what torch takes")
    command.set_defaults(run=_run)


def _run(args):
    check_standard_streams()
    torch.set_num_threads(threads_within(args.threads) or torch.get_num_threads())
    classifier = TextClassifier(args.folder, args.probabilities)
    stream_standard(classifier, "classifying")
    if classifier.cut:
        longest = f"{classifier.longest:,} tokens"
        print(f"{classifier.cut:,} lines were cut to {longest}", file=sys.stderr)
