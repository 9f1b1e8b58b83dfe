"""A family of models: its names in fairseq, and how its weights are made of layers.

Each family is one object, in the file of its model: transformer.py. What the criterion asks of a
family's model is in Taught.
"""

import re
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.data import Dictionary
from fairseq.models import (
    ARCH_CONFIG_REGISTRY,
    ARCH_MODEL_REGISTRY,
    MODEL_REGISTRY,
)
from fairseq.tasks import TASK_DATACLASS_REGISTRY
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from ..errors import CheckpointError
from ..layers import Layers
from . import heads
from .config import OUR_SETTINGS

Weights = dict[str, Tensor]  # a state_dict
Settings = dict[str, Any]  # of a model, a task or a criterion, as a checkpoint has them

_LAYER = re.compile(r"((encoder|decoder)\.(?:sentence_encoder\.)?layers)\.(\d+)\.(.+)")
_CHOSEN = ("task", "criterion", "optimizer", "lr_scheduler")  # by their names


class Taught(Protocol):
    """What the criterion knows of a model with students.

    forward() takes fairseq's arguments, `features_only`, `students`, a sequence of Layers, and
    `own_dropout`, and returns (features, extra): features (B, T, C), in `extra["students"]` those
    of each student, by its Layers, and in `extra["projection"]` the weights (V, C) that make logits
    of them.
    """

    training: bool
    num_updates: int

    def student(self, layers: Layers | str) -> nn.Module: ...

    def get_targets(self, sample: dict[str, Any], net_output: Any) -> Tensor: ...

    def __call__(self, *, students: tuple[Layers, ...], **inputs: Any) -> tuple[Tensor, dict]: ...


@dataclass(frozen=True)
class Family:
    """What this package knows of the checkpoints of a kind of model."""

    stock: str  # fairseq's name of the model
    architecture: str  # and of the architecture that cut models have: they say all settings
    twin: str  # this package's name of its model with students
    twins: str  # how the names of that one's architectures begin
    sides: tuple[str, ...]
    config: type  # the dataclass of its models' settings
    embeddings: tuple[str, ...]  # parameters that are often the same
    criteria: Mapping[str, str]  # this package's, and those of fairseq that stand for them
    tasks: Mapping[str, str]  # likewise
    builder: Callable[["Family", Settings, Weights], nn.Module]  # see build()
    by_argparse: bool = False  # fairseq's model reads settings of its that are in no dataclass
    as_cut: Mapping[str, Any] = field(default_factory=dict)  # settings of cut models
    former: Mapping[str, str] = field(default_factory=dict)  # parts of names in older checkpoints

    def has(self, architecture: str) -> bool:
        """Whether an architecture is of fairseq's own model, or of its twin."""
        models = (MODEL_REGISTRY[self.stock], MODEL_REGISTRY[self.twin])
        return ARCH_MODEL_REGISTRY.get(architecture) in models

    def depth(self, weights: Weights) -> Layers:
        """All layers of a model.

        Raises: CheckpointError unless they are numbered from 0 without a gap.
        """
        counts = {}
        for side in self.sides:
            found = (_LAYER.fullmatch(name) for name in weights)
            numbers = {int(match[3]) for match in found if match and match[2] == side}
            if not numbers or numbers != set(range(len(numbers))):
                raise CheckpointError(f"its {side} is no stack of Transformer layers")
            counts[side] = len(numbers)
        return Layers.first(counts["encoder"], counts.get("decoder"))

    def renamed(self, weights: Weights) -> Weights:
        """The weights by the names that fairseq gives them today, as it does when it loads them."""
        found = dict(weights)
        for former, name in self.former.items():
            found = {re.sub(former, name, key): tensor for key, tensor in found.items()}
        return found

    def types(self, weights: Weights, side: str) -> int:
        """The size of a side's vocabulary."""
        (table,) = (
            name
            for name in self.embeddings
            if name.startswith(side) and name.endswith("embed_tokens.weight")
        )
        return len(weights[table])

    def keep(self, weights: Weights, layers: Layers) -> Weights:
        """The weights without the other layers, numbered anew, with the heads of their own.

        Raises: ValueError if the model lacks one of these layers.
        """
        depth = self.depth(weights)
        numbers = layers.within(depth)
        new = {(side, str(old)): n for side in numbers for n, old in enumerate(numbers[side])}
        kept = {}
        for name, tensor in weights.items():
            match = _LAYER.fullmatch(name)
            if not match:
                kept[name] = tensor
            elif (match[2], match[3]) in new:
                kept[f"{match[1]}.{new[match[2], match[3]]}.{match[4]}"] = tensor
        return heads.kept(kept, layers, depth)

    def tie(self, weights: Weights) -> None:
        """Makes equal embeddings one tensor again, in place: saving from a GPU unties them."""
        present = [name for name in self.embeddings if name in weights]
        for i, name in enumerate(present):
            for first in present[:i]:
                one, other = weights[first], weights[name]
                if one.shape == other.shape and one.equal(other):
                    weights[name] = one
                    break

    def complete(self, settings: Settings) -> Settings:
        """A model's settings, every one of them spelt out.

        What is missing, or null, was left to the architecture.
        """
        preset = Namespace(**{key: value for key, value in settings.items() if value is not None})
        ARCH_CONFIG_REGISTRY[settings["_name"]](preset)
        return {**settings, **vars(preset)}

    def build(self, settings: Settings, weights: Weights) -> nn.Module:
        """A model of a checkpoint's settings, without memory for its parameters, to be loaded into.

        Raises: ValueError if they can't be those of the weights.
        """
        return self.builder(self, settings, weights)

    def given(self, settings: Settings) -> DictConfig | Namespace:
        """Settings as fairseq's build_model takes them."""
        return Namespace(**settings) if self.by_argparse else OmegaConf.create(settings)

    def saved(self, cfg: dict[str, Settings]) -> dict[str, Any]:
        """What a checkpoint of these settings has as `args` and as `cfg`."""
        if not self.by_argparse:
            return {"args": None, "cfg": cfg}
        # As before fairseq 0.10: all in one. torch's safe loader takes an OrderedDict with
        # attributes for what to fairseq is a Namespace, which that refuses.
        args: Any = OrderedDict()
        names = {part: cfg[part]["_name"] for part in _CHOSEN if (cfg.get(part) or {}).get("_name")}
        # From hydra a model's settings are without its task's, which fairseq reads here, too.
        args.__dict__.update({**cfg["task"], **cfg["model"], **names, "user_dir": None})
        return {"args": args, "cfg": None}

    def stock_settings(self, settings: Settings, layers: Layers) -> Settings:
        """The settings of fairseq's own model with so many of the layers."""
        names = {"_name": self.architecture, "arch": self.architecture}
        settings = {**self.complete(settings), **names, **self.as_cut}
        for name in (*OUR_SETTINGS, *self._options()):
            settings.pop(name, None)
        for side, count in zip(self.sides, layers.counts, strict=True):
            settings[f"{side}_layers"] = count
            settings[f"{side}_layerdrop"] = 0
            settings[f"{side}_layers_to_keep"] = None
            settings[f"{side}_embed_path"] = None  # read before training, once
        return settings

    def _options(self) -> set[str]:
        """Of this package's criteria alone: settings that argparse puts beside a model's."""
        ours, stock = (
            {
                field.name
                for name in names
                for field in fields(CRITERION_DATACLASS_REGISTRY[name])
                if not str(field.default).startswith("${")  # another part's
            }
            for names in (self.criteria.keys(), self.criteria.values())
        )
        return ours - stock

    def stock_surroundings(self, cfg: dict[str, Settings]) -> dict[str, Settings]:
        """A checkpoint's other settings without what only this package can read."""
        cfg = dict(cfg)
        if (cfg.get("common") or {}).get("user_dir"):
            cfg["common"] = {**cfg["common"], "user_dir": None}
        if (optimizer := cfg.get("optimizer") or {}).get("_name") == "adam_fused":
            optimizer = {key: optimizer[key] for key in optimizer if key not in OUR_SETTINGS}
            cfg["optimizer"] = {**optimizer, "_name": "adam"}  # which reads its checkpoints
        task, criterion = cfg["task"], cfg.get("criterion") or {}
        if task["_name"] in self.tasks:
            stock = self.tasks[task["_name"]]
            cfg["task"] = {**_known(task, TASK_DATACLASS_REGISTRY[stock]), "_name": stock}
        if criterion.get("_name") in self.criteria:
            stock = self.criteria[criterion["_name"]]
            known = _known(criterion, CRITERION_DATACLASS_REGISTRY[stock])
            cfg["criterion"] = {**known, "_name": stock}
        return cfg


def _known(settings, config):
    """Those that a dataclass has."""
    names = {field.name for field in fields(config)}
    return {name: value for name, value in settings.items() if name in names}


def layer_matrices(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of parameters by name the layers' weight matrices: projections of attention, and the FFN.

    Names may have the prefixes of what wraps a model.
    """
    return {name: t for name, t in named.items() if _LAYER.search(name) and t.dim() == 2}


def placeholders(size: int) -> Dictionary:
    """A dictionary of so many types, for a model that is built before its text is known."""
    dictionary = Dictionary()
    for number in range(size - len(dictionary)):
        dictionary.add_symbol(str(number))
    return dictionary
