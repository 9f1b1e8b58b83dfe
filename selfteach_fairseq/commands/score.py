"""`selfteach score`: translate and score with one checkpoint."""

import argparse

from ..arguments import Commands, add_output, number, positive, threads_within
from ..evaluation import quality, records, score, tables
from ..evaluation.engines import ENGINES
from ..export.quantization import QUANTIZATIONS
from ..files import check_output


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "score",
        help="translate, or classify, and score with one checkpoint",
        epilog="Options after -- go to fairseq-generate, and into the record.",
    )
    command.add_argument("checkpoint")
    command.add_argument("data", help="folder of fairseq-preprocess")
    command.add_argument("--subset", default="test", help="default: test")
    command.add_argument("--beam", type=positive, default=5, help="default: 5")
    command.add_argument(
        "--lenpen",
        metavar="X[,Y]",
        type=_numbers,
        default=[1.0],
        help="length penalty, default: 1; of several the best on validation text",
    )
    command.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help="what translates, default: fairseq"
    )
    command.add_argument(
        "--quantization",
        choices=QUANTIZATIONS,
        help="with --engine ctranslate2: the kind of its numbers (default: none, float32)",
    )
    command.add_argument(
        "--threads", metavar="N", type=positive, help="of the engine (default: what torch takes)"
    )
    command.add_argument("--batch-size", type=positive, default=64, help="sentences, default: 64")
    command.add_argument(
        "--repeat",
        metavar="N",
        type=positive,
        default=1,
        help="translate N times and record the median speed, default: 1",
    )
    command.add_argument(
        "--tokenizer",
        choices=quality.TOKENIZERS,
        metavar="NAME",
        help="whose tokens BLEU counts, of sacreBLEU's (default: the target language's: zh, "
        "ja-mecab, ko-mecab or char, else 13a); flores200 serves every language, and is "
        "downloaded on first use",
    )
    command.add_argument(
        "--metric",
        choices=quality.METRICS,
        default=quality.METRICS[0],
        help="rouge: ROUGE-1, 2, L and Lsum, too, of English summaries; it decides between length "
        "penalties then",
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
        "--cost",
        metavar="FILE",
        nargs="+",
        help="JSON of recipes/measure.py, to put into the record; of several, such as a student's "
        "and its teacher's, the times are added up",
    )
    add_output(command, "record, JSON; the translations go beside it, as .hyp.txt")
    command.set_defaults(run=_run)


def _run(args):
    check_output(args.output, args.force)
    check_output(records.translations_path(args.output), args.force)
    about = _about(args)
    if args.quantization and args.engine == "fairseq":
        raise ValueError("--quantization is for --engine ctranslate2")
    record, translations = score.score(
        args.checkpoint,
        args.data,
        subset=args.subset,
        beam=args.beam,
        lenpens=args.lenpen,
        batch_size=args.batch_size,
        tokenizer=args.tokenizer,
        metric=args.metric,
        references=args.references,
        repeat=args.repeat,
        engine=args.engine,
        quantization=args.quantization or QUANTIZATIONS[0],
        threads=threads_within(args.threads),
        options=args.options,
    )
    records.write({**record, **about}, translations, args.output)
    print(tables.tables([records.read(args.output)]))


def _about(args):
    """What the caller knows of a model, beside what scoring finds."""
    about = {}
    for word in args.about:
        key, equals, value = word.partition("=")
        if not equals or key not in ("system", "seed", "corpus"):
            raise ValueError(f"--about {word}: say system=, seed= or corpus=")
        about[key] = value
    if args.cost:
        about |= _total([records.read_cost(path) for path in args.cost])
    return about


def _total(costs):
    """Of all that had to be run: the time in all, and the most memory of the first one's kind."""
    kind = costs[0]["peak_memory_of"]
    return {
        "training_seconds": sum(cost["training_seconds"] for cost in costs),
        "peak_memory_bytes": max(
            cost["peak_memory_bytes"] for cost in costs if cost["peak_memory_of"] == kind
        ),
        "peak_memory_of": kind,
    }


def _numbers(text):
    try:
        return [number(word) for word in text.split(",")]
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"'{text}': write 1, or several: 0.6,1,1.4") from None
