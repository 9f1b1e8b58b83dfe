"""Tiny BERTs as Hugging Face lays them out, and what BERT computes, written out slowly."""

import json
import math

import torch
from torch.nn import functional as F

PIECES = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##d", "é"]
CONFIG = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "vocab_size": len(PIECES),
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
_LAYER = {
    **{f"attention.self.{name}": (16, 16) for name in ("query", "key", "value")},
    **{"attention.output.dense": (16, 16), "attention.output.LayerNorm": (16,)},
    **{"intermediate.dense": (24, 16), "output.dense": (16, 24), "output.LayerNorm": (16,)},
}


def weights(seed=0):
    """A BertModel's, by Hugging Face's names."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator) * 0.3

    found = {
        "embeddings.word_embeddings.weight": draw(len(PIECES), 16),
        "embeddings.position_embeddings.weight": draw(20, 16),
        "embeddings.token_type_embeddings.weight": draw(2, 16),
        "embeddings.LayerNorm.weight": 1 + draw(16),
        "embeddings.LayerNorm.bias": draw(16),
        "pooler.dense.weight": draw(16, 16),
        "pooler.dense.bias": draw(16),
    }
    for number in range(3):
        for name, shape in _LAYER.items():
            full = f"encoder.layer.{number}.{name}"
            found[f"{full}.weight"] = draw(*shape) + (len(shape) == 1)
            found[f"{full}.bias"] = draw(shape[0])
    return found


def write(folder, tensors=None, config=CONFIG, pieces=PIECES):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    torch.save(weights() if tensors is None else tensors, folder / "pytorch_model.bin")
    return folder


def hidden_states(tensors, pieces, eps=1e-12):
    """After the embeddings and after each layer, (S, 16) each, of one sentence (Devlin et al. 2019;
    type 0)."""
    numbers = [PIECES.index(piece) for piece in pieces]

    def norm(x, name):
        x = x - x.mean(dim=1, keepdim=True)
        x = x / torch.sqrt((x**2).mean(dim=1, keepdim=True) + eps)
        return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def dense(x, name):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    x = tensors["embeddings.word_embeddings.weight"][numbers]
    x = x + tensors["embeddings.position_embeddings.weight"][: len(numbers)]
    x = norm(x + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    states = [x]
    for number in range(3):
        layer = f"encoder.layer.{number}."
        q, k, v = (dense(x, f"{layer}attention.self.{n}") for n in ("query", "key", "value"))
        heads = []
        for head in (slice(0, 8), slice(8, 16)):
            scores = q[:, head] @ k[:, head].T / math.sqrt(8)
            heads.append(torch.softmax(scores, dim=1) @ v[:, head])
        attended = dense(torch.cat(heads, dim=1), f"{layer}attention.output.dense")
        x = norm(x + attended, f"{layer}attention.output.LayerNorm")
        inner = F.gelu(dense(x, f"{layer}intermediate.dense"))
        x = norm(x + dense(inner, f"{layer}output.dense"), f"{layer}output.LayerNorm")
        states.append(x)
    return states
