"""`selfteach report`: print score records as tables."""

from .. import report
from .arguments import positive


def add(commands):
    command = commands.add_parser("report", help="print score records as tables")
    command.add_argument("records", nargs="+", help="the first is what the others are compared to")
    command.add_argument("--csv", metavar="FILE", help="write all of the records there too")
    command.add_argument("--sentences", metavar="N", type=positive, help="show N translations too")
    command.add_argument("--source", metavar="FILE", help="with --sentences: the source text")
    command.set_defaults(run=_run)


def _run(args):
    records = [report.read(path) for path in args.records]
    print(report.tables(records))
    if args.csv:
        report.write_csv(records, args.csv)
    if args.sentences:
        if not args.source:
            raise ValueError("--sentences needs --source, the text that was translated")
        print("\n" + report.sentences(args.records, args.source, args.sentences))
