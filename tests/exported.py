"""Tiny exported models: one that takes words, one that takes text."""

import subprocess

import sentencepiece
import torch
from conftest import ENVIRONMENT, python
from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from tiny import checkpoint_of, settings

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.checkpoints.data import dictionaries
from selfteach_fairseq.export import folder
from selfteach_fairseq.programs.generate import Limit, Search

LONGEST = 24  # pieces of a source
SHAPE = (
    *("--encoder-layers", "2", "--decoder-layers", "1", "--share-all-embeddings"),
    *("--max-source-positions", str(LONGEST + 1), "--max-target-positions", "40"),
)


def of_words(trained, data, path, **choices):
    """What self-teaching has made of made-up words, and the text of its test."""
    checkpoint = Checkpoint.read(trained / "checkpoint_best.pt").stock()
    pair = ("xx", "en")
    choices = {"search": Search(4), "limit": Limit(1, 5), **choices}
    folder.export(checkpoint, dictionaries(checkpoint, data, pair), pair, path, **choices)
    return path


def learn_pieces(lines, prefix, types=60, **options):
    sentencepiece.SentencePieceTrainer.train(
        **{"sentence_iterator": iter(lines), "model_prefix": str(prefix), "vocab_size": types},
        **{"normalization_rule_name": "identity", "character_coverage": 1.0, "minloglevel": 2},
        **options,
    )
    return prefix.with_name(prefix.name + ".model")


def of_text(path, pieces, *, pair=("de", "en"), says=None, **choices):
    """An untrained model of a sentencepiece model's pieces; it may say one of them all the time."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    dictionary = Dictionary()
    for i in range(3, len(model)):
        dictionary.add_symbol(model.id_to_piece(i))
    torch.manual_seed(1)
    task = TranslationTask(TranslationConfig(), dictionary, dictionary)
    built = task.build_model(settings(*SHAPE).model)
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)  # it is surer of what it says
        if says:
            last = built.decoder.layers[-1].final_layer_norm
            embedding = built.decoder.embed_tokens.weight[dictionary.index(says)]
            embedding.mul_(10)
            last.weight.zero_()
            last.bias.copy_(embedding)
    torch.save(checkpoint_of(built, *SHAPE), path.with_suffix(".pt"))
    choices = {"search": Search(2), "limit": Limit(1, 3), "sentencepiece": [pieces], **choices}
    checkpoint = Checkpoint.read(path.with_suffix(".pt")).stock()
    folder.export(checkpoint, (dictionary, dictionary), pair, path, **choices)
    return path


def start(path, *options, environment=None, **streams):
    """`selfteach translate` in the background."""
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    return subprocess.Popen(
        [python(), "-m", "selfteach_fairseq.cli", "translate", str(path), *map(str, options)],
        env={**ENVIRONMENT, **(environment or {})},
        **{**pipes, **streams},
    )


def translate(path, content, *options, code=0):
    """What `selfteach translate` makes of bytes, (standard output, standard error)."""
    process = start(path, *options)
    output, errors = process.communicate(content)
    assert process.returncode == code, errors
    return output, errors.decode()
