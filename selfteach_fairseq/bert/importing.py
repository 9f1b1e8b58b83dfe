"""A BERT as a fairseq RoBERTa: the same numbers under other names, and a dictionary.

What differs: fairseq begins positions at 2, and has no types of sentences, so BERT's type 0 is
added to the positions, and its type 1 is dropped. [CLS] [PAD] [SEP] [UNK] [MASK] are fairseq's
<s> <pad> </s> <unk> <mask>. fairseq's norms add 1e-5 to the variance where BERT's add 1e-12.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checkpoints.checkpoint import Checkpoint
from ..errors import CheckpointError, one_line
from ..files import whole_folder, write_json
from . import folder
from .tokenizer import Tokenizer, in_order, write_dictionary

MODEL, DICTIONARY, FLAGS, NOTE = "model.pt", "dict.txt", "model.flags", "import.json"
HEAD = "sentence_classification_head"  # fairseq's default
_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_accurate", "relu": "relu"}
_OF_LAYER = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "final_layer_norm",
}
_OF_HEAD = {
    "cls.predictions.transform.dense": "dense",
    "cls.predictions.transform.LayerNorm": "layer_norm",
}
_STACK = "encoder.sentence_encoder."
_BEFORE_POSITIONS = 2  # rows of fairseq's table that no token has


class Imported(NamedTuple):
    """What is said of an import."""

    layers: int
    parameters: int
    flags: str  # of fairseq-train, for such a model
    filled: list[str]  # what the BERT has not


def import_bert(source: Path | str, target: Path | str) -> Imported:
    """Writes a folder with model.pt, dict.txt, tokenizer.json, and model.flags for fairseq-train.

    Args:
        source: folder of a BERT, or a zip of one
        target: folder to write, whole or not at all

    Raises: ValueError if there is no BERT that fairseq's RoBERTa can be, OSError if it can't be
        written.
    """
    with folder.opened(source) as read:
        config = folder.config_of(read)
        tokenizer = Tokenizer(read)
        weights = _upright(folder.weights_of(read))
        settings = _settings(config)
        try:
            converted, filled = _converted(weights, settings, tokenizer.pieces, source)
        except (RuntimeError, IndexError, TypeError) as error:  # tensors of other shapes
            raise CheckpointError(
                f"{source}: its weights do not fit each other ({one_line(error)})"
            ) from None
    checkpoint = _checkpoint(converted, settings)
    flags = _flags(settings)
    with whole_folder(target) as out:
        checkpoint.write(out / MODEL)
        write_dictionary(tokenizer.pieces, out / DICTIONARY)
        tokenizer.write(out)
        (out / FLAGS).write_text(flags + "\n", encoding="utf-8")
        write_json({"source": str(source), "filled": filled}, out / NOTE)
    layers = settings["encoder_layers"]
    return Imported(layers, checkpoint.parameters, flags, filled)


def _upright(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix of models with a head, and norms by their newer names."""
    found = {}
    for name, tensor in weights.items():
        name = name.removeprefix("bert.")
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        found[re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)] = tensor
    return found


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of fairseq's RoBERTa. Raises: CheckpointError for what that has not."""
    activation = config.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise CheckpointError(f"its activation is {activation}: fairseq's RoBERTa has none such")
    try:
        return {
            "_name": "roberta",
            "arch": "roberta",
            "encoder_layers": int(config["num_hidden_layers"]),
            "encoder_embed_dim": int(config["hidden_size"]),
            "encoder_ffn_embed_dim": int(config["intermediate_size"]),
            "encoder_attention_heads": int(config["num_attention_heads"]),
            "max_positions": int(config["max_position_embeddings"]),
            "activation_fn": _ACTIVATIONS[activation],
            "pooler_activation_fn": "tanh",
            "dropout": float(config.get("hidden_dropout_prob", 0.1)),
            "attention_dropout": float(config.get("attention_probs_dropout_prob", 0.1)),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"its config.json has no proper {error}") from None


def _flags(settings: Mapping[str, Any]) -> str:
    names = (
        *("encoder_layers", "encoder_embed_dim", "encoder_ffn_embed_dim"),
        *("encoder_attention_heads", "max_positions", "activation_fn"),
    )
    return " ".join(f"--{name.replace('_', '-')} {settings[name]}" for name in names)


def _converted(weights, settings, pieces, source):
    """Returns: (weights under fairseq's names, what was filled in). Raises: CheckpointError."""
    take = _Taker(weights, source)
    if f"encoder.layer.{settings['encoder_layers']}.output.dense.weight" in weights:
        raise CheckpointError(
            f"{source}: its weights have more than {settings['encoder_layers']} layers, which its "
            "config.json says"
        )
    width, count = settings["encoder_embed_dim"], settings["encoder_layers"]
    words = take("embeddings.word_embeddings.weight")
    if len(words) != len(pieces):
        raise CheckpointError(
            f"{source}: its tokenizer has {len(pieces):,} pieces and its weights {len(words):,}"
        )
    numbers = {piece: number for number, piece in enumerate(pieces)}
    words = words[[numbers[piece] for piece in in_order(pieces)]]
    words[1] = 0  # padding, which BERT embeds and no other token sees
    positions = take("embeddings.position_embeddings.weight")
    positions = positions + take("embeddings.token_type_embeddings.weight")[0]
    found = {
        f"{_STACK}version": torch.tensor([3.0]),  # as fairseq's encoder has it
        f"{_STACK}embed_tokens.weight": words,
        f"{_STACK}embed_positions.weight": torch.cat(
            [torch.zeros(_BEFORE_POSITIONS, positions.size(1)), positions]
        ),
        **take.both("embeddings.LayerNorm", f"{_STACK}layernorm_embedding"),
    }
    for number in range(count):
        for theirs, ours in _OF_LAYER.items():
            layer = f"{_STACK}layers.{number}.{ours}"
            found |= take.both(f"encoder.layer.{number}.{theirs}", layer)
    filled = []
    if "cls.predictions.bias" in weights:
        order = [numbers[piece] for piece in in_order(pieces)]
        found["encoder.lm_head.bias"] = take("cls.predictions.bias")[order]
        for theirs, ours in _OF_HEAD.items():
            found |= take.both(theirs, f"encoder.lm_head.{ours}")
    else:
        filled.append("encoder.lm_head")
        found |= _language_model_head(width, len(words))
    found["encoder.lm_head.weight"] = words
    if "pooler.dense.weight" in weights:
        found |= take.both("pooler.dense", f"classification_heads.{HEAD}.dense")
        # Of no class, so that any training brings its own.
        found[f"classification_heads.{HEAD}.out_proj.weight"] = torch.zeros(1, width)
        found[f"classification_heads.{HEAD}.out_proj.bias"] = torch.zeros(1)
        filled.append(f"classification_heads.{HEAD}.out_proj")
    return found, filled


class _Taker:
    """Tensors by name. Raises: CheckpointError if one is missing."""

    def __init__(self, weights: Mapping[str, Tensor], source: Path | str) -> None:
        self.weights, self.source = weights, source

    def __call__(self, name: str) -> Tensor:
        if name not in self.weights:
            raise CheckpointError(f"{self.source}: its weights lack {name}")
        return self.weights[name].clone()

    def both(self, theirs: str, ours: str) -> dict[str, Tensor]:
        return {f"{ours}.{kind}": self(f"{theirs}.{kind}") for kind in ("weight", "bias")}


def _language_model_head(width, types):
    return {
        "encoder.lm_head.dense.weight": torch.eye(width),
        "encoder.lm_head.dense.bias": torch.zeros(width),
        "encoder.lm_head.layer_norm.weight": torch.ones(width),
        "encoder.lm_head.layer_norm.bias": torch.zeros(width),
        "encoder.lm_head.bias": torch.zeros(types),
    }


def _checkpoint(weights, settings):
    """As fairseq would have saved it before any update."""
    state = {
        "cfg": {
            "model": settings,
            "task": {"_name": "masked_lm"},
            "criterion": {"_name": "masked_lm"},
            "common": {},
        },
        "model": weights,
        "optimizer_history": [
            {
                "criterion_name": "MaskedLmLoss",
                "optimizer_name": "FairseqAdam",
                "lr_scheduler_state": {},
                "num_updates": 0,
            }
        ],
        "extra_state": {"train_iterator": {"epoch": 1}},
    }
    return Checkpoint.of(state)
