"""Whether what a file holds can be a checkpoint: found out before anything is built from it.

A small file can claim a large model, or refer to the same data again and again: what it would grow
to is counted first.
"""

import re
import warnings
from itertools import islice, repeat
from typing import Any

import numpy as np
import torch

from ..errors import CheckpointError, LimitError, one_line
from ..layers import Layers
from ..models.family import Family, Settings, Weights

_MOST_VALUES = {"cfg": 10_000, "args": 10_000}  # fairseq has about a thousand
_MOST_VALUES_IN_ALL = 200_000  # the optimizer has a few for each parameter
_MOST_POSITIONS = 2**30  # numbers in the tables of sinusoids, which no checkpoint has
_MOST_TYPES = 2**20
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_UNSET = "._float_tensor"  # of older fairseqs: nothing reads it, and it holds what was in memory
_EVALUATED = (
    *("adaptive_softmax_cutoff", "encoder_xformers_att_config", "decoder_xformers_att_config"),
)
_NUMBERS = re.compile(r"[\d\s,\[\]()]*")
NOT_LEARNT = ("version", _UNSET)


def check_extent(state: dict[str, Any]) -> None:
    """Raises: LimitError if the data are more than a checkpoint has, tensors aside."""
    for part, most in _MOST_VALUES.items():
        _count(state.get(part), most)
    _count(state, _MOST_VALUES_IN_ALL)


def _count(data, most):
    if next(islice(_values(data), most, None), None) is not None:
        raise LimitError(
            f"holds more than {most:,} values where fairseq has few: save it anew without"
        )


def _values(data):
    yield True
    if isinstance(data, np.ndarray):
        yield from repeat(True, data.size)
    elif isinstance(data, dict):
        for pair in data.items():
            yield from _values(pair)
    elif isinstance(data, list | tuple | set):
        for item in data:
            yield from _values(item)
    elif hasattr(data, "__dict__") and not torch.is_tensor(data):
        yield from _values(vars(data))


def check_structure(state: dict[str, Any]) -> None:
    """Raises: CheckpointError unless what this package reads of the settings has its type."""
    cfg, history = state["cfg"], state["optimizer_history"]
    parts = {
        "cfg.model": (cfg["model"], dict),
        "cfg.model._name": (cfg["model"]["_name"], str),
        "cfg.task": (cfg["task"], dict),
        "cfg.task._name": (cfg["task"]["_name"], str),
        "cfg.common": (cfg.get("common") or {}, dict),
        "cfg.criterion": (cfg.get("criterion") or {}, dict),
        "optimizer_history": (history, list),
        "num_updates": (history[-1]["num_updates"], int),
        "extra_state": (state.get("extra_state") or {}, dict),
        "task_state": (state.get("task_state") or {}, dict),
    }
    for name, (value, kind) in parts.items():
        if not isinstance(value, kind):
            raise CheckpointError(f"has a {type(value).__name__} as {name}, not a {kind.__name__}")


def check_settings(settings: Settings) -> None:
    """Raises: CheckpointError for a model's settings that fairseq would run as code.

    It evaluates these texts when it builds the model (fairseq.utils.eval_str_list, eval_str_dict).
    """
    for name in _EVALUATED:
        value = settings.get(name)
        if isinstance(value, str) and not _NUMBERS.fullmatch(value):
            raise CheckpointError(
                f"its {name} is a text that fairseq would run as code: save it anew without"
            )


def check_tensors(model: dict[Any, Any]) -> None:
    """Raises: CheckpointError unless a state_dict has tensors only, each with all its numbers."""
    for name, tensor in model.items():
        if not isinstance(name, str) or not torch.is_tensor(tensor):
            raise CheckpointError("its model holds more than tensors")
        strange = tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized
        if strange or tensor.device.type != "cpu":
            raise CheckpointError(f"its {name} is no plain tensor")
        stored = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > stored:
            raise CheckpointError(f"its {name} claims {tuple(tensor.shape)} out of {stored} bytes")


def check_numbers(model: Weights) -> None:
    """Raises: CheckpointError unless a state_dict has finite floating-point numbers only, but for
    what is not learnt."""
    for name, tensor in model.items():
        is_learnt = not name.endswith(NOT_LEARNT)
        if (is_learnt and tensor.dtype not in _DTYPES) or not tensor.numel():
            kind = f"{tuple(tensor.shape)} of {tensor.dtype}"
            raise CheckpointError(f"its {name} is {kind}, not of floating-point numbers")
        if not name.endswith(_UNSET) and not tensor.isfinite().all():
            raise CheckpointError(
                f"its {name} has numbers that are not finite, its training diverged: use one from "
                "before"
            )


def check_kept(note: object, layers: Layers | None) -> None:
    """Raises: CheckpointError unless the note of which layers a model was made is of so many."""
    try:
        right = note is None or (layers and Layers.read(str(note)).counts == layers.counts)
    except ValueError:
        right = False
    if not right:
        raise CheckpointError(f"has {layers} layers, and says that these were {one_line(note)}")


def check_fits(
    family: Family, settings: Settings, weights: Weights, any_size: bool = False
) -> None:
    """Whether a model of these settings has a state_dict's names and shapes.

    It is built without memory for its parameters, and fairseq loads the state_dict into it.

    Args:
        any_size: also if it is larger than what this package builds

    Raises: CheckpointError if not.
    """
    try:
        types = max(family.types(weights, side) for side in family.sides)
        if types > _MOST_TYPES and not any_size:
            raise LimitError(f"has {types:,} types, more than {_MOST_TYPES:,}: use subwords")
        with warnings.catch_warnings(action="ignore"):  # of parameters that take no memory
            built = family.build(settings, weights)
            built.load_state_dict(dict(weights), strict=True)
    except LimitError:
        raise
    except Exception as error:  # whatever settings and names break in fairseq's code
        what = one_line(str(error).split(":\n")[-1]) or type(error).__name__
        raise CheckpointError(
            f"its settings and its model do not fit ({what}): copy it again from its training"
        ) from None
    tables = sum(table.numel() for table in built.buffers())
    if tables > _MOST_POSITIONS and not any_size:
        raise LimitError(
            f"has tables of {tables:,} numbers for its positions: lower its max_source_positions "
            "and max_target_positions"
        )
