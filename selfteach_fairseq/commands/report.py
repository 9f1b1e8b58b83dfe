"""`selfteach report`: print score records as tables, and make a page of a folder of them."""

import argparse
import math
from pathlib import Path

from ..arguments import Commands, positive, table
from ..evaluation import choice, records, tables
from ..report import results


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "report",
        help="print score records as tables; of a folder, make a page with pictures too",
        epilog="Of a folder, such as a recipe leaves in work/CORPUS, it takes the records in "
        "*.json, the training logs in logs/train-*.log and the pictures in importance/, and writes "
        "report.html, one page that needs no other file, and pictures/*.png and *.svg.",
    )
    command.add_argument(
        "records",
        metavar="RECORD",
        nargs="+",
        help="the first is what the others are compared to; or one folder of records",
    )
    command.add_argument(
        "--within",
        metavar="BLEU",
        type=_loss,
        help="say which model is the fastest that loses at most so much BLEU against the first "
        "record's, in each engine and of all, and which models are dominated: another is at least "
        "as good and at least as fast, and better or faster",
    )
    command.add_argument(
        "--csv", metavar="FILE", type=table, help="write all of the records there too"
    )
    command.add_argument("--sentences", metavar="N", type=positive, help="show N translations too")
    command.add_argument("--source", metavar="FILE", help="with --sentences: the source text")
    command.set_defaults(run=_run)


def _run(args):
    folder = args.records[0] if len(args.records) == 1 and Path(args.records[0]).is_dir() else None
    paths = results.record_paths(folder) if folder else args.records
    found = [records.read(path) for path in paths]
    chosen = None if args.within is None else choice.choose(found, args.within)
    print(tables.tables(found))
    if chosen:
        print(f"\n{chosen}")
    if args.csv:
        records.write_csv(found, args.csv)
    if args.sentences:
        if not args.source:
            raise ValueError("--sentences needs --source, the text that was translated")
        print("\n" + tables.sentences(paths, args.source, args.sentences))
    if folder:
        page = results.write_page(folder, found, chosen)
        print(f"\n{page}: all records of the folder, with pictures")


def _loss(text):
    try:
        loss = float(text)
    except ValueError:
        loss = math.nan
    if not 0 <= loss < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}': must be a number from 0, such as 0.5")
    return loss
