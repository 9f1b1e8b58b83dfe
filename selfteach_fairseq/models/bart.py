"""`bart_selfteach`: fairseq's BART, with students that are some of its own layers.

Shapes: B batch, S source length, T target length, C features, V types.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, Self
from unittest.mock import patch

from fairseq.models import register_model
from fairseq.models.bart import BARTModel
from fairseq.models.bart import model as fairseq_bart
from fairseq.models.transformer import TransformerConfig, TransformerModel
from fairseq.tasks import FairseqTask
from torch import Tensor, nn

from ..layers import Layers
from .config import STOCK_UPDATE, TransformerSelfteachConfig
from .encoder_decoder import IN_COMMON, build
from .family import Family
from .students import WithStudents, check_layers, make_cheaper


class _AnyBeam(BARTModel):
    """A BART whose layers can be trained and searched with in turn.

    A search has fairseq's cross-attention read one memory for a whole beam, and it goes on to do so
    in training: with --eval-bleu sentences then attend to those of others.
    """

    def set_beam_size(self, beam: int) -> None:
        pass


@register_model("bart_selfteach")
class BartSelfteachModel(WithStudents, _AnyBeam):
    """fairseq's BART, with students."""

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        BARTModel.add_args(parser)
        parser.add_argument("--stock-update", action="store_true", help=STOCK_UPDATE)

    @classmethod
    def build_model(cls, args: Namespace, task: FairseqTask) -> Self:
        """Raises: ValueError for a setting that no student can share."""
        check_layers(args)
        model = super().build_model(args, task)
        if not getattr(args, "stock_update", False):
            make_cheaper(model)
        return model

    def stock(self, cfg: TransformerConfig, encoder: nn.Module, decoder: nn.Module) -> nn.Module:
        model = _AnyBeam.__new__(_AnyBeam)
        TransformerModel.__init__(model, cfg, encoder, decoder)  # BART's own draws the weights anew
        model.classification_heads = self.classification_heads
        model.eos = self.eos
        return model

    def forward(  # type: ignore[override]  # in the order of BART's
        self,
        src_tokens: Tensor,
        src_lengths: Tensor,
        prev_output_tokens: Tensor,
        features_only: bool = False,
        classification_head_name: str | None = None,
        token_embeddings: Tensor | None = None,
        return_all_hiddens: bool = True,
        alignment_layer: int | None = None,
        alignment_heads: int | None = None,
        students: Sequence[Layers] = (),
        own_dropout: bool = False,
    ) -> tuple[Tensor, dict]:
        """As WithStudents', and with the name of a classification head, as BART's.

        Raises: ValueError for students under a classification head, which reads the last layer.
        """
        given: dict[str, Any] = {
            "token_embeddings": token_embeddings,
            "return_all_hiddens": return_all_hiddens,
            "alignment_layer": alignment_layer,
            "alignment_heads": alignment_heads,
            "features_only": features_only,
        }
        source = (src_tokens, src_lengths, prev_output_tokens)
        if classification_head_name is None:
            return WithStudents.forward(
                self, *source, students=students, own_dropout=own_dropout, **given
            )
        if students:
            raise ValueError(
                f"{classification_head_name}: students have no classification head: train with "
                "another criterion"
            )
        return BARTModel.forward(
            self, *source, classification_head_name=classification_head_name, **given
        )


def _build(family, settings, weights):
    """See Family.build(); BART would draw its weights anew, which take no memory here."""
    with patch.object(fairseq_bart, "init_bert_params", lambda module: None):
        return build(family, settings, weights)


BART = Family(
    stock="bart",
    architecture="bart_large",
    twin="bart_selfteach",
    twins="bart_selfteach",
    config=TransformerSelfteachConfig,
    by_argparse=True,
    **{**IN_COMMON, "builder": _build},
)
