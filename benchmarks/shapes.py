"""What is measured on: model sizes and batches, as fairseq-train would build them."""

import logging
from typing import NamedTuple

import torch
from fairseq import options
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.tasks.translation import TranslationConfig, TranslationTask

LAYERS = 6
SENTENCE = 32  # tokens of every sentence, so that no variant gains from skipping padding


class Shape(NamedTuple):
    """A Transformer of 6+6 layers and the target tokens of one update."""

    name: str
    width: int
    ffn: int
    types: int
    tokens: int

    def flags(self, layers=LAYERS):
        return (
            *("--arch", "transformer_selfteach_iwslt_de_en"),
            *("--encoder-layers", layers, "--decoder-layers", layers),
            *("--encoder-embed-dim", self.width, "--encoder-ffn-embed-dim", self.ffn),
            *("--decoder-embed-dim", self.width, "--decoder-ffn-embed-dim", self.ffn),
            *("--share-decoder-input-output-embed", "--dropout", "0.3"),
        )


def on_gpu():
    return torch.cuda.is_available()


def settings(*flags):
    """fairseq's configuration for a command line; in bf16 if there is a GPU."""
    logging.disable(logging.WARNING)
    parser = options.get_training_parser()
    words = ["data", *map(str, flags), *(["--bf16"] if on_gpu() else ["--cpu"])]
    args = options.parse_args_and_arch(parser, words)
    return convert_namespace_to_omegaconf(args)


def task(shape):
    dictionary = Dictionary()
    for i in range(shape.types - len(dictionary)):
        dictionary.add_symbol(f"t{i}")
    return TranslationTask(TranslationConfig(), dictionary, dictionary)


def batch(shape, seed=0):
    """Random sentences (B, 32) on both sides, B * 32 being the tokens of the shape."""
    generator = torch.Generator().manual_seed(seed)
    sentences = shape.tokens // SENTENCE

    def draw():
        return torch.randint(4, shape.types, (sentences, SENTENCE), generator=generator)

    target = draw()
    return {
        "net_input": {
            "src_tokens": draw(),
            "src_lengths": torch.full((sentences,), SENTENCE),
            "prev_output_tokens": target.roll(1, dims=1),
        },
        "target": target,
        "ntokens": target.numel(),
        "nsentences": sentences,
    }
