"""fairseq-hydra-train applies an architecture's settings, as the command line does."""

from argparse import Namespace
from dataclasses import fields

from fairseq.dataclass import utils
from fairseq.models import ARCH_CONFIG_REGISTRY
from omegaconf import open_dict

from ..models.config import TransformerSelfteachConfig

_SETTINGS = tuple(item.name for item in fields(TransformerSelfteachConfig))


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


_fairseq_merge_with_parent = utils.merge_with_parent


def apply() -> None:
    utils.merge_with_parent = _merge_with_parent
