"""`selfteach import-bert`: a BERT of Hugging Face's layout as a fairseq RoBERTa."""

import shlex
from pathlib import Path

from ..arguments import Commands
from ..bert.importing import NOTE, import_bert
from ..files import check_folder


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "import-bert",
        help="make a fairseq RoBERTa of a BERT, to fine-tune it",
        epilog="It writes model.pt, dict.txt, tokenizer.json, by which text is divided, and "
        "model.flags, the options of fairseq-train for a model of this size.",
    )
    command.add_argument(
        "bert",
        metavar="FOLDER_OR_ZIP",
        help="config.json, model.safetensors or pytorch_model.bin, vocab.txt or tokenizer.json",
    )
    command.add_argument("-o", "--output", metavar="FOLDER", required=True, help="folder to write")
    command.add_argument("--force", action="store_true", help="replace an earlier import")
    command.set_defaults(run=_run)


def _run(args):
    output = Path(args.output)
    check_folder(output, args.force, NOTE, "import")
    found = import_bert(args.bert, output)
    print(f"{output}: {found.layers} layers, {found.parameters:,} parameters")
    for name in found.filled:
        print(f"filled in, for the BERT has none: {name}")
    print(
        f'fairseq-train DATA --user-dir "$(selfteach user-dir)" --arch roberta_selfteach '
        f"{found.flags} --finetune-from-model {shlex.quote(str(output / 'model.pt'))} "
        "--task sentence_prediction --init-token 0 --num-classes ..."
    )
