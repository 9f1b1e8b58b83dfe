"""`transformer_selfteach`: fairseq's Transformer, and the students that are some of its own layers.

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
from .attention import replace_attention
from .config import FROM_EMBED_DIM, TransformerSelfteachConfig
from .decoding import decode, paths_of
from .dropout import replace_dropout
from .family import Family, placeholders

_LEAST_IN_LAYER = 12  # tensors


# Not under an architecture's name: registering a config also claims the architecture so named.
@register_model("selfteach", dataclass=TransformerSelfteachConfig)
class TransformerSelfteachModel(TransformerModelBase):
    """A Transformer whose forward() can also return what some of its layers alone would say."""

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
        model = super().build_model(TransformerConfig.from_namespace(Namespace(**flat)), task)
        if not flat.get("stock_update"):  # older checkpoints have none
            replace_dropout(model)
            replace_attention(model)
        return model

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

    def source_embeddings(self, src_tokens: Tensor) -> Tensor:
        """What the encoder looks up for source tokens (B, S), and forward() takes: (B, S, C)."""
        return self.encoder.embed_tokens(src_tokens)

    def student(self, layers: Layers | str | int, decoder_layers: int | None = None) -> nn.Module:
        """A sub-model, as a stock fairseq Transformer.

        It shares every module with this model: training one trains the other, and train() and
        eval() reach both. Its state_dict() is that of the truncated checkpoint. TorchScript takes
        the latter, and this one only of a model with --stock-update.

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
            students: a sequence of Layers
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

        paths = paths_of((self.depth, *students), self.depth)
        memories = {
            numbers: self._memory(numbers, encoder_out, src_tokens, src_lengths, token_embeddings)
            for numbers in dict.fromkeys(path.encoder for path in paths.values())
        }
        is_padding = next(iter(encoder_out["encoder_padding_mask"]), None)
        outputs, inner_states = decode(
            self, prev_output_tokens, is_padding, memories, [*paths.values()]
        )
        if not features_only:
            outputs = {path: self.decoder.output_layer(x) for path, x in outputs.items()}
        of_students = {student: outputs[paths[student]] for student in students}
        extra = {"inner_states": inner_states, "projection": projection, "students": of_students}
        return outputs[paths[self.depth]], extra

    def _memory(self, numbers, encoder_out, src_tokens, src_lengths, token_embeddings):
        """What the encoder's layers of these numbers alone say, (S, B, C): first ones on the way
        of the whole encoder, others by a pass of their own, as the paper's section 4.6 has it."""
        encoder = self.encoder
        if numbers != tuple(range(len(numbers))):
            cut = _cut(encoder, numbers)
            return cut(src_tokens, src_lengths, False, token_embeddings)["encoder_out"][0]
        if len(numbers) == len(encoder.layers):
            return encoder_out["encoder_out"][0]
        state = encoder_out["encoder_states"][len(numbers)]
        return state if encoder.layer_norm is None else encoder.layer_norm(state)


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
    build=_build,
)
