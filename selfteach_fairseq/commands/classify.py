"""`selfteach classify`: labels for lines of text."""

import os
import sys

import torch

from ..arguments import Commands, positive, threads_within
from ..classes.text import TextClassifier
from ..export.translate import stream
from ..programs.process import die_at_once
from ..progress import lines_bar


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
    if sys.stdin is None or sys.stdout is None:
        raise ValueError("standard input or output is closed: leave it open")
    torch.set_num_threads(threads_within(args.threads) or torch.get_num_threads())
    classifier = TextClassifier(args.folder, args.probabilities)
    die_at_once()
    streams = [file.fileno() for file in (sys.stdin, sys.stdout)]
    for descriptor in streams:
        os.set_blocking(descriptor, True)  # or what isn't there yet would look like the end
    with (
        open(streams[0], "rb", buffering=0, closefd=False) as source,
        open(streams[1], "wb", closefd=False) as target,
        lines_bar("classifying") as bar,
    ):
        stream(classifier, source, target, bar.update)
    if classifier.cut:
        longest = f"{classifier.longest:,} tokens"
        print(f"{classifier.cut:,} lines were cut to {longest}", file=sys.stderr)
