"""The command `selfteach`: what to do with checkpoints once fairseq-train has made them."""

import argparse
import logging
import signal
import sys
from argparse import Namespace
from pathlib import Path

from .commands import (
    average,
    classify,
    distil,
    export,
    gradual,
    import_bert,
    importance,
    report,
    score,
    significance,
    translate,
    truncate,
)
from .errors import one_line
from .programs.process import die_of_interrupt

_COMMANDS = (
    *(truncate, average, gradual, distil, importance, score, report, significance),
    *(export, translate, import_bert, classify),
)
_OF_FAIRSEQ = ("gradual", "distil", "score")  # which take options of fairseq's commands after --


def main(arguments: list[str] | None = None) -> int:
    """Returns: 0, or 1 after a one-line error on standard error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parser = _parser()
    args = parser.parse_args(arguments[:end], Namespace(options=arguments[end + 1 :]))
    if args.options and args.command not in _OF_FAIRSEQ:
        parser.error(f"{args.command} takes no options of fairseq's: leave out -- and the rest")
    signal.signal(signal.SIGTERM, _terminate)
    logging.getLogger().setLevel(logging.WARNING)  # which a task of fairseq's sets to DEBUG
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"selfteach {args.command}: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        die_of_interrupt()
    return 0


def _terminate(number, frame):
    """Ends as an exception does, so that temporary files and processes go, too."""
    sys.exit(128 + number)


def _parser():
    parser = argparse.ArgumentParser(prog="selfteach", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in _COMMANDS:
        command.add(commands)
    user_dir = commands.add_parser("user-dir", help="print what fairseq's --user-dir takes")
    user_dir.set_defaults(run=lambda args: print(Path(__file__).parent))
    return parser


if __name__ == "__main__":
    sys.exit(main())
