"""`selfteach significance`: whether differences between score records are more than chance."""

from ..arguments import Commands, table
from ..evaluation import significance
from ..evaluation.quality import METRICS
from ..evaluation.tables import markdown
from ..files import write_table


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "significance",
        help="test score records against plain models of their size",
        epilog="The test is sacreBLEU's paired bootstrap, of the models of each seed; a system is "
        "better or worse if that is significant (p < 0.05) for every seed.",
    )
    command.add_argument("records", metavar="RECORD", nargs="+", help="of `selfteach score`")
    command.add_argument(
        "--references", metavar="FILE", required=True, help="raw text, or a classifier's labels"
    )
    command.add_argument(
        "--base",
        metavar="SYSTEM",
        default="plain",
        help="what is trained plainly: SYSTEM@3 at 3 layers, SYSTEM at full depth (default: plain)",
    )
    command.add_argument(
        "--metric",
        choices=METRICS,
        help="rouge: ROUGE-L, of English summaries (default: bleu; of classifiers accuracy)",
    )
    command.add_argument(
        "--csv", metavar="FILE", type=table, help="write a row for each system and seed there"
    )
    command.set_defaults(run=_run)


def _run(args):
    rows = significance.compare(args.records, args.references, args.base, args.metric)
    print(markdown(significance.cells(rows)))
    (signature,) = (value for name, value in rows[0].items() if name.endswith("_signature"))
    print(f"\n{rows[0]['metric']}: {signature}")
    if args.csv:
        write_table(rows, args.csv)
