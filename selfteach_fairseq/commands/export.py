"""`selfteach export`: a checkpoint as a folder to ship."""

import math
import shlex
from pathlib import Path
from typing import Any

from ..arguments import Commands
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.data import dictionaries, languages
from ..evaluation import records
from ..evaluation.records import Record
from ..export import folder
from ..export.quantization import QUANTIZATIONS
from ..export.search import OF_COST, counterparts
from ..files import check_folder
from ..layers import SIDES, Layers
from ..programs.generate import Limit, Search


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "export",
        help="make a folder of a checkpoint that CTranslate2 loads, to ship",
    )
    command.add_argument("checkpoint")
    command.add_argument("data", help="folder of fairseq-preprocess")
    command.add_argument("--layers", metavar="N", help="cut first, as truncate does: 3, 6x2, ...")
    command.add_argument(
        "--quantization",
        choices=QUANTIZATIONS,
        default="none",
        help="the kind of its numbers; int8 is a quarter of the size (default: none, float32)",
    )
    command.add_argument(
        "--sentencepiece",
        metavar="FILE",
        nargs="+",
        default=[],
        help="the model of the pieces, or of the source's and the target's: so it takes text",
    )
    command.add_argument(
        "--record",
        metavar="FILE",
        help="of `selfteach score`: its beam, length penalty and length limit become the defaults, "
        "its scores go into the README.md",
    )
    command.add_argument("-o", "--output", required=True, help="folder to write")
    command.add_argument("--force", action="store_true", help="replace an earlier export")
    command.set_defaults(run=_run)


def _run(args):
    check_folder(args.output, args.force, folder.SETTINGS, "export")
    if len(args.sentencepiece) > 2:
        raise ValueError("--sentencepiece: name one model, or the source's and the target's")
    checkpoint = Checkpoint.read(args.checkpoint)
    layers = Layers.parse(args.layers) if args.layers else None
    checkpoint = checkpoint.cut(layers) if layers else checkpoint.stock()
    pair = languages(checkpoint, args.data)
    record = records.read(args.record) if args.record else None
    search, limit = Search(beam=5), Limit()
    if record:
        search, limit = _of_record(record, checkpoint, pair, args.record)
    exported = folder.export(
        checkpoint,
        dictionaries(checkpoint, args.data, pair),
        pair,
        args.output,
        quantization=args.quantization,
        search=search,
        limit=limit,
        sentencepiece=args.sentencepiece,
        record=record,
    )
    size = sum(file.stat().st_size for file in Path(args.output).iterdir())
    print(
        f"{args.output}: {exported.layers} layers, {checkpoint.parameters:,} parameters, "
        f"{size / 1e6:.1f} MB"
    )
    print(f"selfteach translate {shlex.quote(args.output)} <in >out")


def _of_record(record: Record, checkpoint: Checkpoint, pair: Any, path: str) -> Any:
    """How the record's translations were searched for. Raises: ValueError if it is another's."""
    assert checkpoint.layers is not None  # of a stock model they are known
    of_model = {
        **dict(zip(("source", "target"), pair, strict=True)),
        **{f"{s}_layers": n for s, n in zip(SIDES, checkpoint.layers.counts, strict=True)},
        "parameters": checkpoint.parameters,
        "updates": checkpoint.updates,
        "kept_layers": str(checkpoint.kept_layers) if checkpoint.kept_layers else None,
    }
    for name, value in of_model.items():
        if record.get(name) != value:
            raise ValueError(
                f"{path}: is of another model, of {name} {record.get(name)} instead of {value}: "
                "score this one"
            )
    said = counterparts(shlex.split(record.get("options", "")), OF_COST)
    beam, lenpen = record.get("beam"), record.get("lenpen")
    if not isinstance(beam, int) or not 1 <= beam <= folder.LARGEST_BEAM:
        raise ValueError(
            f"{path}: its beam is {beam}: score again, with 1 to {folder.LARGEST_BEAM}"
        )
    if not isinstance(lenpen, int | float) or not math.isfinite(lenpen):
        raise ValueError(f"{path}: its length penalty is {lenpen}: score again")
    return Search(beam, float(lenpen)), Limit.of(said)
