"""Whether what a file holds can be a checkpoint: found out before anything is built from it.

A small file can claim a large model, or refer to the same data again and again: what it would grow
to is counted first.
"""

import warnings
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_MODEL_REGISTRY, build_model
from fairseq.models.transformer import TransformerModel
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import OmegaConf

from .model import TransformerSelfteachModel

_MOST_VALUES = {"cfg": 10_000, "args": 10_000}  # fairseq has about a thousand
_MOST_VALUES_IN_ALL = 200_000  # the optimizer has a few for each parameter
_MOST_POSITIONS = 2**30  # numbers in the tables of sinusoids, which no checkpoint has
_MOST_TYPES = 2**20
_LEAST_IN_LAYER = 12  # tensors
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_UNSET = "._float_tensor"  # of older fairseqs: nothing reads it, and it holds what was in memory
NOT_LEARNT = ("version", _UNSET)
_LONGEST = 500  # characters of an error
_PACKED = (b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")


class CheckpointError(ValueError):
    """A file that can't be used: says in one line what is wrong and what to do."""


class LimitError(CheckpointError):
    """A file with more than this package takes on, though it may be sound."""


def one_line(error):
    """An error's text without what a terminal would not print as one short line."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def lines_of(path):
    """The lines of a UTF-8 file, which end with \\n alone: a sentence may hold other separators.

    A byte order mark, as Windows writes it, is no part of the text.

    Raises: ValueError if it is not UTF-8.
    """
    content = Path(path).read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        if content.startswith(_PACKED):
            way_out = "unpack it (gunzip, unxz, bunzip2, unzip, unzstd)"
            raise ValueError(f"{path}: is packed: {way_out}, and name the text") from None
        raise ValueError(f"{path}: is not UTF-8 (byte {error.start:,}): convert it") from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if text.count("\r") > text.count("\n"):  # line ends of old Macs
        text = text.replace("\r", "\n")
    return text.removesuffix("\n").split("\n")


def check_extent(state):
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


def check_structure(state):
    """Raises: CheckpointError unless what this package reads of the settings has its type."""
    cfg, history = state["cfg"], state["optimizer_history"]
    there = {
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
    for name, (value, kind) in there.items():
        if not isinstance(value, kind):
            raise CheckpointError(f"has a {type(value).__name__} as {name}, not a {kind.__name__}")


def check_tensors(model):
    """Raises: CheckpointError unless a state_dict has tensors only, each with all its numbers."""
    for name, tensor in model.items():
        if not isinstance(name, str) or not torch.is_tensor(tensor):
            raise CheckpointError("its model holds more than tensors")
        strange = tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized
        if strange or tensor.device.type != "cpu":
            raise CheckpointError(f"its {name} is no plain tensor")
        there = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > there:
            raise CheckpointError(f"its {name} claims {tuple(tensor.shape)} out of {there} bytes")


def check_numbers(model):
    """Raises: CheckpointError unless a state_dict has finite floating-point numbers only."""
    for name, tensor in model.items():
        if tensor.dtype not in _DTYPES or not tensor.numel():
            kind = f"{tuple(tensor.shape)} of {tensor.dtype}"
            raise CheckpointError(f"its {name} is {kind}, not of floating-point numbers")
        if not name.endswith(_UNSET) and not tensor.isfinite().all():
            raise CheckpointError(
                f"its {name} has numbers that are not finite, its training diverged: use one from "
                "before"
            )


def is_transformer(settings):
    """Whether they are of fairseq's own Transformer, or this package's."""
    kinds = (TransformerModel, TransformerSelfteachModel)
    return ARCH_MODEL_REGISTRY.get(settings["_name"]) in kinds


def check_fits(settings, model, layers, any_size=False):
    """Whether a Transformer of these settings has a state_dict's names and shapes.

    It is built without memory for its parameters, and fairseq loads the state_dict into it.

    Args:
        layers: how many encoder and decoder layers the state_dict has
        any_size: also if it is larger than what this package builds

    Raises: CheckpointError if not.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of parameters that take no memory
            built = _build(settings, model, layers, any_size)
            built.load_state_dict(dict(model), strict=True)
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


def _build(settings, model, layers, any_size):
    wanted = [settings.get(f"{side}_layers", there) for side, there in layers.items()]
    if wanted != list(layers.values()):
        raise ValueError(f"{wanted} layers, and {list(layers.values())}")
    if _LEAST_IN_LAYER * sum(layers.values()) > len(model):
        raise ValueError(f"{list(layers.values())} layers out of {len(model)} tensors")
    sizes = [len(model[f"{side}.embed_tokens.weight"]) for side in layers]
    if max(sizes) > _MOST_TYPES and not any_size:
        raise LimitError(f"has {max(sizes):,} types, more than {_MOST_TYPES:,}: use subwords")
    dictionaries = {size: _dictionary(size) for size in sizes}  # of one size: the same
    task = TranslationTask(TranslationConfig(), *(dictionaries[size] for size in sizes))
    with torch.device("meta"):
        return build_model(OmegaConf.create(without_embedding_files(settings)), task)


def _dictionary(size):
    dictionary = Dictionary()
    for number in range(size - len(dictionary)):
        dictionary.add_symbol(str(number))
    return dictionary


def without_embedding_files(settings):
    """They were read before training, once: building from them again would need them again."""
    return {**settings, "encoder_embed_path": None, "decoder_embed_path": None}
