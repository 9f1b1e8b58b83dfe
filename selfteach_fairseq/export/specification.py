"""A checkpoint's Transformer as CTranslate2 describes one, number by number.

CTranslate2's own fairseq converter takes fewer models (equal norms and heads on both sides), reads
settings as attributes only, and drops tensors that it has no setter for. So the specification is
put together here, by that converter's setters.
"""

import copy
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor, nn

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.validate import NOT_LEARNT
from ..errors import CheckpointError
from ..layers import SIDES
from .quantization import quantized

if TYPE_CHECKING:
    from ctranslate2.specs import TransformerSpec

Dictionaries = tuple[Dictionary, Dictionary]  # of source and target

_LEAST_VERSION = (4, 8, 1)  # before, a broken model file could overwrite memory
_ACTIVATIONS = {
    "relu": "RELU",
    "gelu": "GELU",
    "gelu_accurate": "GELUTanh",
    "gelu_fast": "GELUTanh",
    "tanh": "Tanh",
}
_NO_COUNTERPART = {  # settings that would change what is computed
    "merge_src_tgt_embed": "its embeddings are of a dictionary that is no file",
    "no_cross_attention": "its decoder does not read its encoder",
    "cross_self_attention": "its decoder attends to source and target at once",
    "encoder_xformers_att_config": "its attention is another",
    "decoder_xformers_att_config": "its attention is another",
    "quant_noise_scalar": "fairseq rounds its numbers whenever it translates",
}
_HAS_COUNTERPART = re.compile(
    r"(encoder|decoder)\.("
    r"(embed_(tokens|positions)|quant_noise)\.weight|(layernorm_embedding|layer_norm)\.(weight|bias)"
    r"|layers\.\d+\.((self|encoder)_attn\.[qkv]_proj|(self|encoder)_attn\.out_proj|fc[12]"
    r"|(self_attn|encoder_attn|final)_layer_norm)\.(weight|bias)"
    r")|decoder\.(output_projection|project_out_dim)\.weight"
)
_LARGEST_DIFFERENCE = 1e-3  # of log-probabilities; rounding makes some 1e-6
_PROBE = {"sentences": 4, "length": 16}


def specification(checkpoint: Checkpoint, dictionaries: Dictionaries) -> "TransformerSpec":
    """The model as a ctranslate2.specs.TransformerSpec of float32, its vocabularies included.

    It is tried: CTranslate2 gives it the log-probabilities that fairseq gives the checkpoint.

    Args:
        checkpoint: one that stock fairseq loads
        dictionaries: that fit it

    Raises: CheckpointError, with all reasons, if CTranslate2 has no such model; ValueError
        without CTranslate2.
    """
    library()
    reasons = [*_reasons(checkpoint, dictionaries)]
    if reasons:
        where = f"{checkpoint.path}: " if checkpoint.path else ""
        raise CheckpointError(f"{where}CTranslate2 has nothing like it: {'; '.join(reasons)}")
    model = _build(checkpoint, dictionaries)
    spec = _specify(_without_quant_noise(model))
    spec.register_source_vocabulary(dictionaries[0].symbols)
    spec.register_target_vocabulary(dictionaries[1].symbols)
    # fairseq ends a source with </s>, and begins a target with it.
    spec.config.add_source_eos = True
    spec.config.decoder_start_token = spec.config.eos_token
    spec.validate()
    _compare(model, spec, dictionaries)
    return spec


def library() -> Any:
    """The module ctranslate2. Raises: ValueError if it is missing, or too old."""
    try:
        import ctranslate2
    except ImportError:
        raise ValueError("CTranslate2 is missing: pip install 'selfteach_fairseq[ship]'") from None
    version = re.findall(r"\d+", ctranslate2.__version__)
    if tuple(map(int, version[:3])) < _LEAST_VERSION:
        least = ".".join(map(str, _LEAST_VERSION))
        raise ValueError(f"CTranslate2 {ctranslate2.__version__} is too old: install {least}")
    return ctranslate2


def _reasons(checkpoint: Checkpoint, dictionaries: Dictionaries) -> Iterator[str]:
    """Why CTranslate2 can't compute what the checkpoint's model does."""
    settings, family = checkpoint.settings, checkpoint.family
    assert family is not None  # of what stock fairseq loads as a Transformer
    activation = settings.get("activation_fn", "relu")
    if activation not in _ACTIVATIONS:
        yield f"--activation-fn {activation}"
    for name, why in _NO_COUNTERPART.items():
        if settings.get(name):
            yield f"--{name.replace('_', '-')} ({why})"
    # Not the file's own names, which older fairseqs chose otherwise: loading has them all or fails.
    names = family.build(settings, checkpoint.weights).state_dict()
    for name in names:
        if not (_HAS_COUNTERPART.fullmatch(name) or name.endswith(NOT_LEARNT)):
            yield f"the tensor {name}"
    if {"encoder.quant_noise.weight", "encoder.layernorm_embedding.weight"} <= {*names}:
        yield "the tensor encoder.quant_noise.weight (behind --layernorm-embedding)"
    for side, dictionary in zip(SIDES, dictionaries, strict=True):
        twice = [symbol for symbol, n in Counter(dictionary.symbols).items() if n > 1]
        if twice:
            yield f"the {side}'s dictionary has {twice[0]} twice"


def _build(checkpoint: Checkpoint, dictionaries: Dictionaries) -> Any:
    task = TranslationTask(TranslationConfig(), *dictionaries)
    model = checkpoint.build(task).float().eval()
    for side in SIDES:
        stack: Any = getattr(model, side)
        if stack.embed_positions is None:
            most = getattr(stack, f"max_{'source' if side == 'encoder' else 'target'}_positions")
            stack.embed_positions = _NoPositions(most, stack.embed_tokens.embedding_dim)
    return model


def _without_quant_noise(model: Any) -> Any:
    """The same model without the matrices that --quant-noise-pq has behind the embeddings.

    They are linear maps, so that the embeddings take them in: the encoder's is behind the sum of
    embeddings and positions, the decoder's before it.
    """
    if model.encoder.quant_noise is None:
        return model
    model = copy.deepcopy(model)

    def mapped(table: Tensor, stack: Any) -> Tensor:
        return (table.double() @ stack.quant_noise.weight.double().T).float()

    with torch.no_grad():
        for stack in (model.encoder, model.decoder):  # the output projection may share the old one
            embeddings = mapped(stack.embed_tokens.weight, stack)
            types, width = embeddings.shape
            stack.embed_tokens = nn.Embedding(types, width, _weight=embeddings)
        positions = model.encoder.embed_positions
        table = positions.weight if isinstance(positions, nn.Embedding) else positions.weights
        table.copy_(mapped(table, model.encoder))
    return model


class _NoPositions(nn.Module):
    """What --no-token-positional-embeddings leaves out, as CTranslate2 has it: zeros."""

    def __init__(self, most: int, width: int) -> None:
        super().__init__()
        self.weights = torch.zeros(most, width)
        self.padding_idx = -1  # fairseq's tables begin with rows up to this
        self.max_positions = most

    def forward(self, tokens: Tensor, **_: Any) -> Tensor:
        return torch.zeros(1)


def _specify(model: Any) -> "TransformerSpec":
    from ctranslate2.converters import fairseq as setters
    from ctranslate2.specs import Activation, TransformerDecoderSpec, TransformerSpec
    from ctranslate2.specs.transformer_spec import TransformerEncoderSpec

    def shape(stack: Any) -> dict[str, Any]:
        cfg = getattr(model.cfg, "encoder" if stack is model.encoder else "decoder")
        return {
            "num_layers": len(stack.layers),
            "num_heads": stack.layers[0].self_attn.num_heads,
            "pre_norm": cfg.normalize_before,
            "no_final_norm": stack.layer_norm is None,
            "activation": getattr(Activation, _ACTIVATIONS[model.cfg.activation_fn]),
            "layernorm_embedding": stack.layernorm_embedding is not None,
        }

    projects = model.decoder.project_out_dim is not None
    spec = TransformerSpec(
        TransformerEncoderSpec(**shape(model.encoder)),
        TransformerDecoderSpec(**shape(model.decoder), project_in_out=projects),
    )
    if projects:
        del spec.decoder.project_in  # fairseq has the one without the other
    with torch.no_grad():
        setters.set_transformer_encoder(spec.encoder, model.encoder)
        setters.set_transformer_decoder(spec.decoder, model.decoder)
    return spec


def write(spec: "TransformerSpec", folder: Path | str, quantization: str) -> None:
    """Writes the files that CTranslate2 loads into a folder.

    Args:
        quantization: one of quantization.QUANTIZATIONS

    Raises: ValueError if its numbers can't be such ones; OSError if the disk is full.
    """
    quantized(spec, quantization).save(str(folder))


def _compare(model: Any, spec: "TransformerSpec", dictionaries: Dictionaries) -> None:
    """Raises: CheckpointError unless both give the same log-probabilities to made-up sentences."""
    generator = torch.Generator().manual_seed(1)
    longest = min(_PROBE["length"], *(p - 1 for p in model.max_positions()))
    size = (_PROBE["sentences"], longest)
    source, target = (
        torch.randint(d.nspecial, len(d), size, generator=generator)
        if len(d) > d.nspecial
        else torch.full(size, d.unk())
        for d in dictionaries
    )
    expected = _log_probabilities(model, source, target, dictionaries)
    with tempfile.TemporaryDirectory() as folder:
        write(spec, folder, "none")
        translator = library().Translator(folder, compute_type="float32", intra_threads=1)
        scored = translator.score_batch(
            *(
                [[dictionary[i] for i in row] for row in tokens.tolist()]
                for tokens, dictionary in zip((source, target), dictionaries, strict=True)
            ),
            max_input_length=0,
        )
    found = torch.tensor([result.log_probs for result in scored])
    difference = (found - expected).abs().max().item()
    if not difference <= _LARGEST_DIFFERENCE:
        raise CheckpointError(
            f"CTranslate2 gives it other log-probabilities than fairseq ({difference:.2g} apart): "
            "please report its settings"
        )


def _log_probabilities(model, source, target, dictionaries):
    """Of each target token and the end, (B, T + 1), by fairseq."""
    ends = [torch.full((len(source), 1), dictionary.eos()) for dictionary in dictionaries]
    source = torch.cat([source, ends[0]], dim=1)
    previous = torch.cat([ends[1], target], dim=1)
    wanted = torch.cat([target, ends[1]], dim=1)
    with torch.no_grad():
        lengths = torch.full((len(source),), source.shape[1])
        logits, _ = model(source, lengths, previous)
    return logits.float().log_softmax(-1).gather(2, wanted.unsqueeze(2)).squeeze(2)
