"""`transformer_selfteach*`: a twin of every architecture of fairseq's model `transformer`.

fairseq-hydra-train does not apply an architecture's settings, so one of fairseq's functions is
wrapped here at run time.
"""

from argparse import Namespace
from dataclasses import fields

from fairseq.dataclass import utils
from fairseq.models import (
    ARCH_CONFIG_REGISTRY,
    ARCH_MODEL_INV_REGISTRY,
    register_model_architecture,
)
from omegaconf import open_dict

from .config import TransformerSelfteachConfig
from .transformer import TRANSFORMER

_SETTINGS = tuple(item.name for item in fields(TransformerSelfteachConfig))


def _register_twin(stock_name):
    stock_architecture = ARCH_CONFIG_REGISTRY[stock_name]

    def architecture(args):
        # fairseq's parser takes --bf16 for a TPU's; architectures are applied right after it.
        if getattr(args, "bf16", False):
            args.tpu = False
        stock_architecture(args)

    name = f"{TRANSFORMER.twins}{stock_name.removeprefix(TRANSFORMER.stock)}"
    register_model_architecture(TRANSFORMER.twin, name)(architecture)


def _merge_with_parent(dc, cfg, remove_missing=False):
    """dataclass.utils.merge_with_parent, after the architecture has set what is not given.

    fairseq-hydra-train fills in the dataclass' defaults before it applies the architecture, which
    then finds every setting made and changes nothing.
    """
    if dc is TransformerSelfteachConfig and cfg.get("_name") in ARCH_CONFIG_REGISTRY:
        preset = Namespace(**cfg)
        ARCH_CONFIG_REGISTRY[cfg._name](preset)
        with open_dict(cfg):
            for name in _SETTINGS:
                if name not in cfg and hasattr(preset, name):
                    cfg[name] = getattr(preset, name)
    return _fairseq_merge_with_parent(dc, cfg, remove_missing)


for _name in list(ARCH_MODEL_INV_REGISTRY[TRANSFORMER.stock]):
    _register_twin(_name)
_fairseq_merge_with_parent = utils.merge_with_parent
utils.merge_with_parent = _merge_with_parent
