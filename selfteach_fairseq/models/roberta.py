"""`roberta_selfteach`: fairseq's RoBERTa, with students that are some of its own layers.

Shapes: B batch, S source length, C features, K classes, V types.
"""

import copy
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, Self
from unittest.mock import patch

import torch
from fairseq.models import FairseqEncoderModel, build_model, register_model
from fairseq.models.roberta import RobertaModel
from fairseq.models.roberta import model as fairseq_roberta
from fairseq.tasks import FairseqTask
from torch import Tensor, nn

from ..layers import Layers, students_within
from . import heads
from .config import STOCK_UPDATE, TransformerSelfteachConfig
from .family import Family, placeholders
from .students import WithUpdates, cut, make_cheaper, memory


@register_model("roberta_selfteach")
class RobertaSelfteachModel(WithUpdates, RobertaModel):
    """fairseq's RoBERTa, with students."""

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        RobertaModel.add_args(parser)
        parser.add_argument("--stock-update", action="store_true", help=STOCK_UPDATE)

    @classmethod
    def build_model(cls, args: Namespace, task: FairseqTask) -> Self:
        model = super().build_model(args, task)
        if not getattr(args, "stock_update", False):
            make_cheaper(model)
        return model

    @property
    def depth(self) -> Layers:
        """All of its Layers."""
        return Layers.first(len(self.encoder.sentence_encoder.layers), None)

    def register_classification_head(
        self, name: str, num_classes: int | None = None, inner_dim: int | None = None, **kwargs: Any
    ) -> None:
        """As fairseq's; with `--student-head own` also one for each student."""
        super().register_classification_head(name, num_classes, inner_dim, **kwargs)
        if getattr(self.args, "student_head", None) == "own" and not heads.is_own(name):
            for student in students_within(self.args.student_layers, self.depth):
                own = heads.of_student(name, student)
                super().register_classification_head(own, num_classes, inner_dim, **kwargs)

    def head(self, name: str, student: Layers) -> nn.Module:
        """What classifies by a student's features (B, S, C): a head of its own, or the model's."""
        own = heads.of_student(name, student)
        return self.classification_heads[own if own in self.classification_heads else name]

    def upgrade_state_dict_named(self, state_dict: dict[str, Tensor], name: str) -> None:
        """As fairseq's, which drops a head of other classes whole: its first part is kept here.

        So does a BERT's pooler become the head's, and those of students' own heads.
        """
        prefix, given_state = f"{name}." if name else "", dict(state_dict)
        for head, module in self.classification_heads.items():
            main = heads.of_model(head)
            for part, tensor in module.state_dict().items():
                key = f"{prefix}classification_heads.{head}.{part}"
                given = given_state.get(key, given_state.get(key.replace(head, main)))
                if given is None or given.shape != tensor.shape:
                    given = tensor
                state_dict[key] = given
        super().upgrade_state_dict_named(state_dict, name)

    def student(self, layers: Layers | str | int) -> RobertaModel:
        """A sub-model, as a stock fairseq RoBERTa, with the heads by which the student classifies.

        It shares every module with this model: training one trains the other, and train() and
        eval() reach both. Its state_dict() is that of the truncated checkpoint.

        Args:
            layers: Layers, or how they are written: 3, "last3", "0+2+4"

        Raises: ValueError if this model has no such sub-model.
        """
        if not isinstance(layers, Layers):
            layers = Layers.parse(str(layers), encoder_only=True)
        numbers = layers.within(self.depth)["encoder"]
        encoder = copy.copy(self.encoder)
        encoder._modules = dict(self.encoder._modules)
        encoder.sentence_encoder = cut(self.encoder.sentence_encoder, numbers)
        student = RobertaModel.__new__(RobertaModel)
        FairseqEncoderModel.__init__(student, encoder)  # RoBERTa's own draws the weights anew
        student.args = copy.copy(self.args)
        student.args.encoder_layers = len(numbers)
        student.classification_heads = nn.ModuleDict(
            {
                name: self.head(name, layers)
                for name in self.classification_heads
                if not heads.is_own(name)
            }
        )
        student.training = self.training
        return student

    def forward(
        self,
        src_tokens: Tensor,
        features_only: bool = False,
        return_all_hiddens: bool = False,
        classification_head_name: str | None = None,
        students: Sequence[Layers] = (),
        **kwargs: Any,
    ) -> tuple[Tensor, dict]:
        """As fairseq's, and a classification by any students.

        Args:
            src_tokens: (B, S)
            students: a sequence of Layers

        Returns: (logits, extra): with a classification head logits (B, K), and in the dictionary
            `extra["students"]`, by Layers, those of each student.
        Raises: ValueError for students without a classification head.
        """
        if students and classification_head_name is None:
            raise ValueError("students of an encoder classify: name classification_head_name")
        logits, extra = super().forward(
            src_tokens,
            features_only,
            return_all_hiddens or bool(students),
            classification_head_name,
            **kwargs,
        )
        stack = self.encoder.sentence_encoder
        of_students = {}
        for student in students:
            numbers = student.within(self.depth)["encoder"]
            state = memory(stack, numbers, {"encoder_states": extra["inner_states"]}, src_tokens)
            head = self.head(str(classification_head_name), student)
            of_students[student] = head(state.transpose(0, 1))
        return logits, {**extra, "students": of_students}


def _build(family, settings, weights):
    """See Family.build(); RoBERTa would draw its weights anew, which take no memory here."""
    (count,) = family.depth(weights).counts
    if settings.get("encoder_layers", count) != count:
        raise ValueError(f"{settings['encoder_layers']} layers, and {count}")

    class Task:
        source_dictionary = placeholders(family.types(weights, "encoder"))

        def max_positions(self):
            return settings.get("max_positions", 512)

    with torch.device("meta"), patch.object(fairseq_roberta, "init_bert_params", lambda _: None):
        return build_model(family.given({**settings, "load_checkpoint_heads": True}), Task())


ROBERTA = Family(
    stock="roberta",
    architecture="roberta",
    twin="roberta_selfteach",
    twins="roberta_selfteach",
    sides=("encoder",),
    config=TransformerSelfteachConfig,
    embeddings=("encoder.sentence_encoder.embed_tokens.weight", "encoder.lm_head.weight"),
    criteria=dict.fromkeys(
        ("sentence_prediction_selfteach", "sentence_prediction_distillation"),
        "sentence_prediction",
    ),
    tasks={},
    builder=_build,
    by_argparse=True,
    as_cut={"load_checkpoint_heads": True},  # by which fairseq loads the classification head
    former={r"^decoder\.": "encoder.", r"\.emb_layer_norm\.": ".layernorm_embedding."},
)
