"""`transformer_selfteach`: fairseq's Transformer, and the students that are its own first layers.

Shapes: B batch, S source length, T target length, C features, V types.
"""

import copy
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, Self

import torch
from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models import build_model, register_model
from fairseq.models.transformer import TransformerConfig, TransformerModelBase
from fairseq.tasks import FairseqTask
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from ..layers import SIDES, Layers
from .config import FROM_EMBED_DIM, TransformerSelfteachConfig
from .family import Family, placeholders

_LEAST_IN_LAYER = 12  # tensors


# Not under an architecture's name: registering a config also claims the architecture so named.
@register_model("selfteach", dataclass=TransformerSelfteachConfig)
class TransformerSelfteachModel(TransformerModelBase):
    """A Transformer whose forward() can also return what its first layers alone would say."""

    @classmethod
    def add_args(cls, parser: ArgumentParser) -> None:
        # TransformerModelBase sets every default here, and architectures would change nothing.
        gen_parser_from_dataclass(parser, TransformerSelfteachConfig(), delete_default=True)

    @classmethod
    def build_model(cls, cfg: DictConfig | Namespace, task: FairseqTask) -> Self:
        """Raises: ValueError for a setting that no student can share."""
        if cfg.base_layers:
            raise ValueError(
                "--base-layers puts layers of another kind between the decoder's: leave it out"
            )
        flat: Any = OmegaConf.to_container(cfg) if OmegaConf.is_config(cfg) else vars(cfg)
        for name in FROM_EMBED_DIM:
            flat[name] = flat[name] or flat["decoder_embed_dim"]
        return super().build_model(TransformerConfig.from_namespace(Namespace(**flat)), task)

    def __init__(self, cfg, encoder, decoder):
        super().__init__(cfg, encoder, decoder)
        self.num_updates = 0

    def set_num_updates(self, num_updates: int) -> None:
        """Keeps the update number for the criterion, which fairseq does not tell."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates

    @property
    def depth(self) -> Layers:
        """All of its Layers."""
        return Layers.first(len(self.encoder.layers), len(self.decoder.layers))

    def student(self, layers: Layers | str | int, decoder_layers: int | None = None) -> nn.Module:
        """A sub-model, as a stock fairseq Transformer.

        It shares every module with this model: training one trains the other, and train() and
        eval() reach both. Its state_dict() is that of the truncated checkpoint.

        Args:
            layers: Layers, or how they are written ("6x3"); with `decoder_layers` a number, of
                the first encoder layers

        Raises: ValueError if this model has no such sub-model.
        """
        if decoder_layers is not None:
            layers = Layers.first(layers, decoder_layers)  # type: ignore[arg-type]
        elif not isinstance(layers, Layers):
            layers = Layers.parse(str(layers))
        numbers = layers.within(self.depth)
        cfg = copy.deepcopy(self.cfg)
        cfg.encoder.layers, cfg.decoder.layers = layers.counts
        stacks = (_cut(getattr(self, side), numbers[side]) for side in SIDES)
        student = TransformerModelBase(cfg, *stacks)
        student.training = self.training
        return student

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor,
        prev_output_tokens: Tensor,
        return_all_hiddens: bool = True,
        features_only: bool = False,
        alignment_layer: int | None = None,
        alignment_heads: int | None = None,
        students: Sequence[Layers] = (),
        token_embeddings: Tensor | None = None,
    ) -> tuple[Tensor, dict]:
        """As fairseq's, and the same for any students: see family.Taught.

        Args:
            students: a sequence of Layers, of first ones
            token_embeddings: (B, S, C), as BART's, for those that the encoder would look up

        Returns: (output, extra), where output and every value of the dictionary
            `extra["students"]`, by Layers, are logits (B, T, V), or with `features_only`
            features (B, T, C) that the weights (V, C) in `extra["projection"]` turn into logits.
            With students, `extra` has no attention weights.
        """
        projection = getattr(self.decoder.output_projection, "weight", None)
        all_states = return_all_hiddens or bool(students)
        encoder_out = self.encoder(src_tokens, src_lengths, all_states, token_embeddings)
        if not students:
            output, extra = self.decoder(
                prev_output_tokens,
                encoder_out=encoder_out,
                features_only=features_only,
                alignment_layer=alignment_layer,
                alignment_heads=alignment_heads,
                src_lengths=src_lengths,
                return_all_hiddens=return_all_hiddens,
            )
            return output, {**extra, "projection": projection, "students": {}}

        full = self.depth
        outputs, inner_states = self._decode(prev_output_tokens, encoder_out, [full, *students])
        if not features_only:
            outputs = {m: self.decoder.output_layer(x) for m, x in outputs.items()}
        of_students = {student: outputs[student] for student in students}
        extra = {"inner_states": inner_states, "projection": projection, "students": of_students}
        return outputs[full], extra

    def _decode(self, prev_output_tokens, encoder_out, models):
        """Features (B, T, C) of each of `models` by model, and the inner states of the first.

        A decoder layer does the same to all of them, but for the encoder depth whose memory it
        attends to. So one pass serves all: stacked along the batch is a block for every encoder
        depth, those that end first behind the others. The first model is the full one.
        """
        decoder, batch = self.decoder, len(prev_output_tokens)
        ends = {}  # encoder depth: the last decoder layer needed above it
        for encoder_layers, decoder_layers in (model.counts for model in models):
            ends[encoder_layers] = max(decoder_layers, ends.get(encoder_layers, 0))
        blocks = sorted(ends, key=ends.get, reverse=True)
        memories = [self._memory(encoder_out, depth) for depth in blocks]

        embedded = self._embed(prev_output_tokens)
        inner_states = [embedded]
        x = embedded.repeat(1, len(blocks), 1)
        memory = torch.cat(memories, dim=1)
        causal_mask = decoder.buffered_future_mask(x)
        is_padding = prev_output_tokens.eq(decoder.padding_idx)
        if not (decoder.cross_self_attention or is_padding.any()):
            is_padding = None
        is_source_padding = next(iter(encoder_out["encoder_padding_mask"]), None)

        outputs = {}
        for number, layer in enumerate(decoder.layers, start=1):
            if ends[blocks[-1]] < number:
                blocks = [depth for depth in blocks if ends[depth] >= number]
                x = x[:, : len(blocks) * batch].contiguous()
                memory = torch.cat(memories[: len(blocks)], dim=1)
            x, *_ = layer(
                x,
                memory,
                _stack(is_source_padding, len(blocks)),
                self_attn_mask=causal_mask,
                self_attn_padding_mask=_stack(is_padding, len(blocks)),
            )
            of_depth = dict(zip(blocks, x.split(batch, dim=1), strict=True))
            inner_states.append(of_depth[blocks[0]])
            for model in models:
                encoder_layers, decoder_layers = model.counts
                if decoder_layers == number:
                    outputs[model] = self._features(of_depth[encoder_layers])
        return outputs, inner_states

    def _embed(self, prev_output_tokens):
        """What the first decoder layer takes, (T, B, C): fairseq has it within a whole pass."""
        decoder = self.decoder
        x = decoder.embed_scale * decoder.embed_tokens(prev_output_tokens)
        if decoder.quant_noise is not None:
            x = decoder.quant_noise(x)
        if decoder.project_in_dim is not None:
            x = decoder.project_in_dim(x)
        if decoder.embed_positions is not None:
            x += decoder.embed_positions(prev_output_tokens)
        if decoder.layernorm_embedding is not None:
            x = decoder.layernorm_embedding(x)
        return decoder.dropout_module(x).transpose(0, 1)

    def _memory(self, encoder_out, encoder_layers):
        """What the encoder's first layers alone would return, (S, B, C)."""
        if encoder_layers == len(self.encoder.layers):
            return encoder_out["encoder_out"][0]
        state = encoder_out["encoder_states"][encoder_layers]
        norm = self.encoder.layer_norm
        return state if norm is None else norm(state)

    def _features(self, x):
        """Features (B, T, C) of a decoder that ends with a layer whose output is x (T, B, C)."""
        if self.decoder.layer_norm is not None:
            x = self.decoder.layer_norm(x)
        x = x.transpose(0, 1)
        return x if self.decoder.project_out_dim is None else self.decoder.project_out_dim(x)


def _stack(mask, times):
    return None if mask is None else mask.repeat(times, 1)


def _cut(stack, numbers):
    """A shallow copy of an encoder or decoder that has the layers of these numbers only."""
    cut = copy.copy(stack)
    cut._modules = dict(stack._modules)
    cut.layers = nn.ModuleList([stack.layers[i] for i in numbers])
    cut.num_layers = len(numbers)
    return cut


def _build(settings, weights):
    """A model of a checkpoint's settings, without memory for its parameters.

    Raises: ValueError if they can't be those of the weights.
    """
    depth = TRANSFORMER.depth(weights)
    counts = dict(zip(SIDES, depth.counts, strict=True))
    wanted = [settings.get(f"{side}_layers", count) for side, count in counts.items()]
    if wanted != [*counts.values()]:
        raise ValueError(f"{wanted} layers, and {[*counts.values()]}")
    if _LEAST_IN_LAYER * sum(depth.counts) > len(weights):
        raise ValueError(f"{[*counts.values()]} layers out of {len(weights)} tensors")
    sizes = [TRANSFORMER.types(weights, side) for side in SIDES]
    dictionaries = {size: placeholders(size) for size in sizes}  # of one size: the same
    task = TranslationTask(TranslationConfig(), *(dictionaries[size] for size in sizes))
    without_files = {f"{side}_embed_path": None for side in SIDES}
    with torch.device("meta"):
        return build_model(OmegaConf.create({**settings, **without_files}), task)


_PLAIN = "label_smoothed_cross_entropy"
_OURS: tuple[str, ...] = ("label_smoothed_ce_selfteach", "word_level_distillation", "r_drop")
_OURS += ("r3f_translation", "intra_distillation")
TRANSFORMER = Family(
    stock="transformer",
    twin="selfteach",
    twins="transformer_selfteach",
    sides=SIDES,
    config=TransformerSelfteachConfig,
    embeddings=(
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
        "decoder.output_projection.weight",
    ),
    criteria=dict.fromkeys(_OURS, _PLAIN),
    tasks={"translation_selfteach": "translation"},
    task_settings=("eval_bleu_student",),
    build=_build,
)
