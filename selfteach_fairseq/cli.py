"""The command `selfteach`: what to do with checkpoints once fairseq-train has made them."""

import argparse
import logging
import sys
from argparse import Namespace
from pathlib import Path

from . import checkpoint, report, score, truncate
from .sound import one_line
from .student import Student


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': must be a number from 1")
    return int(text)


def _layer_numbers(text):
    numbers = text.split(",") if text else []
    if not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"'{text}': write numbers of layers, such as 0,2,4")
    return [int(number) for number in numbers]


def main(arguments=None):
    """Returns: 0, or 1 after a one-line error on standard error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    args = _parser().parse_args(arguments[:end], Namespace(options=arguments[end + 1 :]))
    logging.getLogger("fairseq").setLevel(logging.WARNING)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"selfteach {args.command}: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="selfteach", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

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
    _add_output(command)
    command.set_defaults(run=_truncate)

    command = commands.add_parser("average", help="average the models in checkpoints of one run")
    command.add_argument("checkpoints", nargs="+")
    _add_output(command)
    command.set_defaults(run=_average)

    command = commands.add_parser(
        "score",
        help="translate and score with one checkpoint",
        epilog="Options after -- go to fairseq-generate.",
    )
    command.add_argument("checkpoint")
    command.add_argument("data", help="folder of fairseq-preprocess")
    command.add_argument("--subset", default="test", help="default: test")
    command.add_argument("--beam", type=_positive, default=5, help="default: 5")
    command.add_argument("--lenpen", type=float, default=1.0, help="length penalty, default: 1")
    command.add_argument("--batch-size", type=_positive, default=64, help="sentences, default: 64")
    command.add_argument(
        "--repeat",
        metavar="N",
        type=_positive,
        default=1,
        help="translate N times and record the median speed, default: 1",
    )
    command.add_argument(
        "--references", metavar="FILE", help="raw text (default: the targets of the data folder)"
    )
    command.add_argument(
        "--about",
        metavar="KEY=VALUE",
        nargs="+",
        default=[],
        help="system=, seed=, corpus=, for the record; a table has a row for a system's seeds",
    )
    command.add_argument(
        "--cost", metavar="FILE", help="JSON of recipes/measure.py, to put into the record"
    )
    _add_output(command, "record, JSON; the translations go beside it, as .hyp.txt")
    command.set_defaults(run=_score)

    command = commands.add_parser("report", help="print score records as tables")
    command.add_argument("records", nargs="+", help="the first is what the others are compared to")
    command.add_argument("--csv", metavar="FILE", help="write all of the records there too")
    command.add_argument("--sentences", metavar="N", type=_positive, help="show N translations too")
    command.add_argument("--source", metavar="FILE", help="with --sentences: the source text")
    command.set_defaults(run=_report)

    command = commands.add_parser("user-dir", help="print what fairseq's --user-dir takes")
    command.set_defaults(run=lambda args: print(Path(__file__).parent))
    return parser


def _add_output(command, what="checkpoint"):
    command.add_argument("-o", "--output", required=True, help=f"file to write: the {what}")
    command.add_argument("--force", action="store_true", help="replace the output if it is there")


def _truncate(args):
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


def _average(args):
    checkpoint.check_output(args.output, args.force)
    checkpoint.save(checkpoint.average(args.checkpoints), args.output)
    print(f"{args.output}: mean of {len(args.checkpoints)} checkpoints")


def _score(args):
    checkpoint.check_output(args.output, args.force)
    checkpoint.check_output(score.translations_path(args.output), args.force)
    about = _about(args)
    record, translations = score.score(
        args.checkpoint,
        args.data,
        subset=args.subset,
        beam=args.beam,
        lenpen=args.lenpen,
        batch_size=args.batch_size,
        references=args.references,
        repeat=args.repeat,
        options=args.options,
    )
    score.write({**record, **about}, translations, args.output)
    print(report.tables([report.read(args.output)]))


def _about(args):
    """What the caller knows of a model, beside what scoring finds."""
    about = {}
    for word in args.about:
        key, equals, value = word.partition("=")
        if not equals or key not in ("system", "seed", "corpus"):
            raise ValueError(f"--about {word}: say system=, seed= or corpus=")
        about[key] = value
    if args.cost:
        about |= report.read_cost(args.cost)
    return about


def _report(args):
    records = [report.read(path) for path in args.records]
    print(report.tables(records))
    if args.csv:
        report.write_csv(records, args.csv)
    if args.sentences:
        if not args.source:
            raise ValueError("--sentences needs --source, the text that was translated")
        print("\n" + report.sentences(args.records, args.source, args.sentences))


if __name__ == "__main__":
    sys.exit(main())
