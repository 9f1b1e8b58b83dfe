"""`Checkpoint`: what is known of a fairseq checkpoint once it has been read.

It can be cut, made one that stock fairseq loads, built, and written whole or not at all.
"""

import hashlib
import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from fairseq import checkpoint_utils
from fairseq.models import build_model
from fairseq.tasks import FairseqTask
from torch import nn

from ..errors import CheckpointError
from ..files import whole
from ..layers import Layers
from ..models import FAMILIES, TRANSFORMER, family_of, refusal
from ..models.family import Family, Settings, Weights, layer_matrices
from .reading import plain, read
from .validate import (
    NOT_LEARNT,
    check_extent,
    check_fits,
    check_kept,
    check_numbers,
    check_settings,
    check_structure,
    check_tensors,
)

# Of the extra state, in what is written: the last is what _cut() notes of other layers than first.
_KEPT = ("train_iterator", "previous_training_time", "kept_layers")


@dataclass(frozen=True)
class Checkpoint:
    """A sound checkpoint in plain types; equal embeddings are one tensor."""

    path: Path | None  # where it has been read
    cfg: dict[str, Settings]
    weights: Weights
    family: Family | None  # None: of an architecture that this package knows nothing of
    layers: Layers | None  # all that its model has; None without a family
    history: dict[str, Any]  # the optimizer's, of the last start of its training
    extra: dict[str, Any]
    task_state: dict[str, Any]
    resumable: bool  # whether it has the optimizer's state

    @classmethod
    def read(cls, path: Path | str, any_size: bool = False) -> "Checkpoint":
        """The checkpoint in a file.

        Args:
            any_size: also if its model is larger than what this package builds

        Raises: CheckpointError if there is no sound one in the file, LimitError if it is too large.
        """
        state = read(path)
        try:
            return replace(cls.of(state, any_size), path=Path(path))
        except CheckpointError as error:
            raise type(error)(f"{path}: {error}") from None

    @classmethod
    def of(cls, state: Any, any_size: bool = False) -> "Checkpoint":
        """Of what torch loads from a file. Settings may be under `args`, as they once were."""
        if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
            raise CheckpointError("holds no fairseq model")
        try:
            check_extent(state)
            if state.get("cfg") is None:  # from before fairseq 0.10
                with warnings.catch_warnings(action="ignore"):  # of hydra's, to fairseq
                    state = checkpoint_utils._upgrade_state_dict(state)
            state = plain(state)
            check_structure(state)
            check_settings(state["cfg"]["model"])
            return cls._of_sound(state, any_size)
        except CheckpointError:
            raise
        except Exception:  # whatever a foreign structure breaks in fairseq's upgrade
            raise CheckpointError("lacks settings that fairseq's checkpoints have") from None

    @classmethod
    def _of_sound(cls, state: dict[str, Any], any_size: bool) -> "Checkpoint":
        cfg, weights, extra = state["cfg"], state["model"], state.get("extra_state") or {}
        if "previous_training_time" in extra:  # of several workers fairseq saves a tensor
            seconds = extra["previous_training_time"] = float(extra["previous_training_time"])
            if not math.isfinite(seconds):
                raise CheckpointError(f"has trained for {seconds} seconds: save it anew")
        check_tensors(weights)
        family = family_of(cfg["model"]["_name"])
        layers = None
        if family:
            weights = family.renamed(weights)
            layers = family.depth(weights)
            check_numbers(weights)
            check_fits(family, cfg["model"], weights, any_size)
            check_kept(extra.get("kept_layers"), layers)
        for known in FAMILIES:
            known.tie(weights)
        return cls(
            path=None,
            cfg=cfg,
            weights=weights,
            family=family,
            layers=layers,
            history=state["optimizer_history"][-1],
            extra=extra,
            task_state=state.get("task_state") or {},
            resumable="last_optimizer_state" in state,
        )

    @property
    def settings(self) -> Settings:
        """The model's."""
        return self.cfg["model"]

    @property
    def is_encoder(self) -> bool:
        """Whether its model is an encoder alone."""
        return self.layers is not None and self.layers.decoder is None

    @property
    def kept_layers(self) -> Layers | None:
        """Those of the model that it was cut out of; None if these were its first ones."""
        note = self.extra.get("kept_layers")
        return None if note is None else Layers.read(note)

    @property
    def updates(self) -> int:
        return self.history["num_updates"]

    @property
    def training_seconds(self) -> float | None:
        return self.extra.get("previous_training_time")

    @property
    def validation_loss(self) -> float:
        """By the metric that chooses the best checkpoint."""
        return float(self.extra["val_loss"])

    @property
    def parameters(self) -> int:
        """How many numbers there are to learn, tied ones counted once."""
        return sum({id(t): t.numel() for t in self._learnt().values()}.values())

    @property
    def sparsity(self) -> float:
        """The share of zeros in its layers' weight matrices."""
        matrices = layer_matrices(self.weights).values()
        zeros = sum(int(matrix.eq(0).sum()) for matrix in matrices)
        return zeros / sum(matrix.numel() for matrix in matrices)

    def types(self, side: str) -> int:
        """The size of a side's vocabulary."""
        return self._family.types(self.weights, side)

    @property
    def _family(self):
        """Of an unknown one: the Transformer's, which most have been derived from."""
        return self.family or TRANSFORMER

    @property
    def digest(self) -> bytes:
        """Of the bytes of its weights: the same of copies."""
        found = hashlib.sha256()
        for name, tensor in sorted(self._learnt().items()):
            found.update(name.encode())
            found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return found.digest()

    def _learnt(self) -> Weights:
        return {name: t for name, t in self.weights.items() if not name.endswith(NOT_LEARNT)}

    def cut(self, layers: Layers, fp16: bool = False, made_of: Layers | None = None) -> Self:
        """What stock fairseq loads as a model of these layers alone, without this package.

        Args:
            fp16: with numbers in half precision
            made_of: those of a larger model that it was cut out of before its training

        Raises: CheckpointError for an architecture or a choice of layers that isn't there, or if
            what is left would be no model that stock fairseq loads.
        """
        try:
            return self._cut(layers, fp16, made_of or layers)
        except ValueError as error:
            raise CheckpointError(f"{self.path}: {error}" if self.path else str(error)) from None

    def _cut(self, layers: Layers, fp16: bool, made_of: Layers) -> Self:
        if self.family is None or self.layers is None:
            raise refusal(self.settings["_name"])
        if made_of.counts != layers.counts:
            raise ValueError(f"what is kept, {layers} layers, was not made of {made_of}")
        settings = self.family.stock_settings(self.settings, layers)
        weights = self.family.keep(self.weights, layers)
        check_fits(self.family, settings, weights)
        extra = dict(self.extra)
        if not made_of.are_first:
            extra["kept_layers"] = str(made_of)
        elif layers != self.layers:
            extra.pop("kept_layers", None)
        return replace(
            self,
            cfg={**self.family.stock_surroundings(self.cfg), "model": settings},
            weights=_halved(weights) if fp16 else weights,
            layers=Layers.first(*layers.counts),
            extra=extra,
            resumable=False,
        )

    def stock(self) -> "Checkpoint":
        """What stock fairseq loads as this very model. Raises: CheckpointError, see cut()."""
        return self.cut(self.layers or Layers.first(1, 1))  # which says why not

    def build(self, task: FairseqTask, **settings: Any) -> nn.Module:
        """The model with its weights, in training mode; `settings` replace its own.

        Raises: ValueError if the task's dictionaries don't fit the model.
        """
        model = build_model(self._family.given({**self.settings, **settings}), task)
        model.load_state_dict(self.weights, strict=True)
        return model

    def write(self, path: Path | str) -> None:
        """Writes all it takes to translate or to fine-tune; not the optimizer's state.

        Raises: OSError, with one line, if it can't be written; then `path` is what it was.
        """
        without_files = {f"{side}_embed_path": None for side in ("encoder", "decoder")}
        cfg = {**self.cfg, "model": {**self.settings, **without_files}}
        state = {
            **self._family.saved(cfg),
            "model": self.weights,
            "criterion": None,
            "optimizer_history": [self.history],
            "task_state": self.task_state,
            "extra_state": {key: self.extra[key] for key in _KEPT if key in self.extra},
        }
        with whole(path) as file:
            torch.save(state, file)


def _halved(weights: Weights) -> Weights:
    """In half precision, what is tied staying tied."""
    halves: dict[int, torch.Tensor] = {}
    found = {}
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not name.endswith(NOT_LEARNT):
            if tensor.abs().max() > torch.finfo(torch.float16).max:
                raise CheckpointError(f"{name} holds numbers too large for --fp16: leave it out")
            tensor = halves.setdefault(id(tensor), tensor.half())
        found[name] = tensor
    return found
