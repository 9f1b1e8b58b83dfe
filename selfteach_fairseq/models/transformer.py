"""`transformer_selfteach`: fairseq's Transformer, with students that are some of its own layers."""

from argparse import ArgumentParser, Namespace
from typing import Any, Self

from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models import register_model
from fairseq.models.transformer import TransformerConfig
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig, OmegaConf

from .config import FROM_EMBED_DIM, TransformerSelfteachConfig
from .encoder_decoder import IN_COMMON
from .family import Family
from .students import WithStudents, check_layers, make_cheaper


# Not under an architecture's name: registering a config also claims the architecture so named.
@register_model("selfteach", dataclass=TransformerSelfteachConfig)
class TransformerSelfteachModel(WithStudents):
    """fairseq's Transformer, with students."""

    @classmethod
    def add_args(cls, parser: ArgumentParser) -> None:
        # TransformerModelBase sets every default here, and architectures would change nothing.
        gen_parser_from_dataclass(parser, TransformerSelfteachConfig(), delete_default=True)

    @classmethod
    def build_model(cls, cfg: DictConfig | Namespace, task: FairseqTask) -> Self:
        """Raises: ValueError for a setting that no student can share."""
        check_layers(cfg)
        flat: Any = OmegaConf.to_container(cfg) if OmegaConf.is_config(cfg) else vars(cfg)
        for name in FROM_EMBED_DIM:
            flat[name] = flat[name] or flat["decoder_embed_dim"]
        model = super().build_model(TransformerConfig.from_namespace(Namespace(**flat)), task)
        if not flat.get("stock_update"):  # older checkpoints have none
            make_cheaper(model)
        return model


TRANSFORMER = Family(
    stock="transformer",
    architecture="transformer",
    twin="selfteach",
    twins="transformer_selfteach",
    config=TransformerSelfteachConfig,
    **IN_COMMON,
)
