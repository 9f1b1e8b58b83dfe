"""The model's settings: those of fairseq's Transformer, as a dataclass that can be registered."""

from dataclasses import field, fields, make_dataclass
from typing import Optional

from fairseq.dataclass import FairseqDataclass
from fairseq.models.transformer import TransformerConfig
from fairseq.models.transformer.transformer_config import (
    DecoderConfig,
    EncDecBaseConfig,
    QuantNoiseConfig,
)
from omegaconf import OmegaConf

# Their defaults are interpolations into the nested config; architectures set them to the width.
FROM_EMBED_DIM = ("decoder_input_dim", "decoder_output_dim")
_NESTED = {"encoder": EncDecBaseConfig, "decoder": DecoderConfig, "quant_noise": QuantNoiseConfig}
# fairseq itself cannot train with these: it splits as a string what it has parsed as a list.
_BROKEN = ("encoder_layers_to_keep", "decoder_layers_to_keep")


def _flat_fields():
    """TransformerConfig's fields with the nested ones laid flat, as its command line names them.

    The nested config itself can't be registered: fairseq's override parser chokes on it.
    """
    for outer in fields(TransformerConfig):
        inner_fields = fields(_NESTED[outer.name]) if outer.name in _NESTED else [outer]
        for inner in inner_fields:
            name = inner.name if inner is outer else f"{outer.name}_{inner.name}"
            if inner.name == "_name" or name in _BROKEN:
                continue
            if name in FROM_EMBED_DIM:
                yield name, Optional[int], field(default=None, metadata=inner.metadata)
            else:
                yield name, inner.type, field(default=inner.default, metadata=inner.metadata)


STOCK_UPDATE = (  # help
    "compute updates number for number as before they were made cheaper: with torch's dropout, "
    "fairseq's attention and its own Adam for adam_fused"
)
# Those that stock models do not have.
OUR_SETTINGS = ("stock_update",)

TransformerSelfteachConfig = make_dataclass(
    "TransformerSelfteachConfig",
    [
        *_flat_fields(),
        ("stock_update", bool, field(default=False, metadata={"help": STOCK_UPDATE})),
    ],
    bases=(FairseqDataclass,),
)


def of_model(name: str) -> str:
    """A setting of the model as another part's default: None if the model has none such.

    fairseq resolves interpolations before any code of ours runs, and II("model...") would end in an
    error of OmegaConf for other architectures.
    """
    return f"${{setting_of_model:{name}}}"


def _setting_of_model(name, *, _root_):
    return getattr(OmegaConf.select(_root_, "model"), name, None)


OmegaConf.register_new_resolver("setting_of_model", _setting_of_model, replace=True)
