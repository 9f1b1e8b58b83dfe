"""What makes a model of fairseq's Transformers one with students: a class to stand before its own.

Shapes: B batch, S source length, T target length, C features, V types.
"""

import copy
from collections.abc import Sequence
from typing import Any

from fairseq.models import BaseFairseqModel
from fairseq.models.transformer import TransformerConfig, TransformerModelBase
from fairseq.modules import FairseqDropout
from torch import Tensor, nn

from ..layers import SIDES, Layers
from .attention import replace_attention
from .decoding import Path, decode
from .dropout import replace_dropout


class WithUpdates(BaseFairseqModel):
    """A model that knows how many updates it has had."""

    num_updates = 0

    def set_num_updates(self, num_updates: int) -> None:
        """Keeps the update number for the criterion, which fairseq does not tell."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates


class WithStudents(WithUpdates, TransformerModelBase):
    """A model whose forward() can also return what some of its layers alone would say."""

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
        student = self.stock(cfg, *(cut(getattr(self, side), numbers[side]) for side in SIDES))
        student.training = self.training
        return student

    def stock(self, cfg: TransformerConfig, encoder: nn.Module, decoder: nn.Module) -> nn.Module:
        """A model of fairseq's own class, of these modules as they are."""
        return TransformerModelBase(cfg, encoder, decoder)

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
        own_dropout: bool = False,
    ) -> tuple[Tensor, dict]:
        """As fairseq's, and the same for any students: see family.Taught.

        Args:
            students: a sequence of Layers, which may be all of the model's own
            token_embeddings: (B, S, C), as BART's, for those that the encoder would look up
            own_dropout: students share no layer's output with the full model that has dropout in it

        Returns: (output, extra), where output and every value of the dictionary
            `extra["students"]`, by Layers, are logits (B, T, V), or with `features_only`
            features (B, T, C) that the weights (V, C) in `extra["projection"]` turn into logits.
            With students, `extra` has no attention weights.
        """
        projection = getattr(self.decoder.output_projection, "weight", None)
        if projection is not None:
            # So that DDP finds it in the graph: with --find-unused-parameters it looks there alone.
            projection = projection.view_as(projection)
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

        apart = own_dropout and self.training and drops(self)
        whole = Path.of(self.depth, self.depth)
        paths = {student: Path.of(student, self.depth, int(apart)) for student in students}
        encoders = [*dict.fromkeys(path.as_encoder for path in (whole, *paths.values()))]
        passes = {0: encoder_out}
        if apart:  # one for all students, as deep as any of them begins with first layers
            deepest = max(first_of(encoder.encoder) for encoder in encoders if encoder.masks)
            stack = cut(self.encoder, range(deepest))
            passes[1] = stack(src_tokens, src_lengths, True, token_embeddings)
        memories = {
            encoder: memory(self.encoder, encoder.encoder, passes[encoder.masks], src_tokens)
            for encoder in encoders
        }
        is_padding = next(iter(encoder_out["encoder_padding_mask"]), None)
        outputs, inner_states = decode(
            self, prev_output_tokens, is_padding, memories, [whole, *paths.values()]
        )
        if not features_only:
            outputs = {path: self.decoder.output_layer(x) for path, x in outputs.items()}
        of_students = {student: outputs[paths[student]] for student in students}
        extra = {"inner_states": inner_states, "projection": projection, "students": of_students}
        return outputs[whole], extra


def check_layers(settings: Any) -> None:
    """Raises: ValueError for a setting that no student can share."""
    if getattr(settings, "base_layers", 0):
        raise ValueError(
            "--base-layers puts layers of another kind between the decoder's: leave it out"
        )


def make_cheaper(model: nn.Module) -> None:
    """Puts this package's dropout and attention, the same for less time, into a model."""
    replace_dropout(model)
    replace_attention(model)


def drops(module: nn.Module) -> bool:
    """Whether two passes in training differ, by dropout."""
    return any(part.p > 0 for part in module.modules() if isinstance(part, FairseqDropout))


def cut(stack: Any, numbers: Sequence[int]) -> Any:
    """A shallow copy of an encoder or decoder that has the layers of these numbers only."""
    copied = copy.copy(stack)
    copied._modules = dict(stack._modules)
    copied.layers = nn.ModuleList([stack.layers[i] for i in numbers])
    copied.num_layers = len(numbers)
    return copied


def first_of(numbers: Sequence[int]) -> int:
    """How many first layers these begin with."""
    return next((i for i, number in enumerate(numbers) if number != i), len(numbers))


def memory(
    encoder: Any, numbers: tuple[int, ...], encoder_out: dict[str, Any], src_tokens: Tensor
) -> Tensor:
    """What the encoder's layers of these numbers alone say, (S, B, C).

    They are read off the way of the encoder for as long as they are its first ones; from
    there they take a pass of their own, as the paper's section 4.6 has it.

    Args:
        encoder_out: of the encoder, or of as many first layers as these begin with, with all states
    """
    if numbers == tuple(range(len(encoder.layers))):
        return encoder_out["encoder_out"][0]
    first = first_of(numbers)
    state = encoder_out["encoder_states"][first]
    if first < len(numbers):
        is_padding = src_tokens.eq(encoder.padding_idx)
        mask = is_padding if is_padding.any() else None
        for number in numbers[first:]:
            state = encoder.layers[number](state, encoder_padding_mask=mask)
            state = state[0] if isinstance(state, tuple) else state
    return state if encoder.layer_norm is None else encoder.layer_norm(state)
