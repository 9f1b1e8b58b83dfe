"""fairseq checkpoints as files: read safely, averaged, written whole or not at all."""

import errno
import hashlib
import math
import os
import pickle
import re
import stat
import warnings
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from fairseq import checkpoint_utils
from omegaconf import DictConfig, OmegaConf

from .files import whole
from .sound import (
    NOT_LEARNT,
    CheckpointError,
    check_extent,
    check_fits,
    check_numbers,
    check_structure,
    check_tensors,
    is_transformer,
    without_embedding_files,
)
from .student import Student

# Where a Transformer keeps its embeddings: often the same ones, stored up to three times.
_EMBEDDINGS = (
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "decoder.output_projection.weight",
)
_ZIP = b"PK\x03\x04"


def load(path, any_size=False):
    """Read a checkpoint as plain data.

    Args:
        any_size: also if its model is larger than what this package builds

    Returns: the checkpoint, with its settings under `cfg` even if it is so old as to have them
        under `args`; equal embeddings are one tensor.
    Raises: CheckpointError if there is no sound one in the file, LimitError if it is too large.
    """
    return _as_current(read(path), path, any_size)


def read(path):
    """What the file holds, by torch's safe loader, which runs no code from it.

    Raises: CheckpointError if the file is not whole, or holds what that loader refuses.
    """
    _check_archive(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # of what it refuses anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"{path}: not loaded, for it holds more than plain data "
            f"({foreign[1] if foreign else 'or is damaged'}): save it anew with plain types"
        ) from None
    except Exception:  # which one torch raises depends on where the file goes wrong
        raise CheckpointError(f"{path}: not a checkpoint, or cut short: copy it again") from None


def _check_archive(path):
    """torch.load does not notice a flipped bit in a weight; the zip archive's checksums do."""
    try:
        size = _size(path)
        with open(path, "rb") as file:
            if file.read(len(_ZIP)) != _ZIP:
                return  # may be in torch's older format: the loader tells
        fault = _fault(path, size)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except Exception:  # which one zipfile raises depends on where the file goes wrong
        fault = "damaged (its archive): copy it again"
    if fault:
        raise CheckpointError(f"{path}: {fault}")


def _size(path):
    """In bytes. Raises: OSError for what is no file: a pipe or a device may never end."""
    there = os.stat(path)
    if not stat.S_ISREG(there.st_mode):
        raise OSError(errno.EINVAL, "Is a directory" if stat.S_ISDIR(there.st_mode) else "No file")
    return there.st_size


def _fault(path, size):
    if not zipfile.is_zipfile(path):
        return "not a checkpoint, or cut short: copy it again"
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            return "compressed, as torch's checkpoints never are"
        # Members that share their bytes would unpack to more than the file has.
        shared = sum(member.file_size for member in members) > size
        damaged = "its archive" if shared else archive.testzip()
    return f"damaged ({damaged}): copy it again" if damaged else None


def _as_current(state, path, any_size):
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path}: holds no fairseq model")
    try:
        check_extent(state)
        if state.get("cfg") is None:  # from before fairseq 0.10
            state = checkpoint_utils._upgrade_state_dict(state)
        state = plain(state)
        check_structure(state)
        extra = state.get("extra_state") or {}
        if "previous_training_time" in extra:  # of several workers fairseq saves a tensor
            seconds = extra["previous_training_time"] = float(extra["previous_training_time"])
            if not math.isfinite(seconds):
                raise CheckpointError(f"has trained for {seconds} seconds: save it anew")
        check_tensors(state["model"])
        if is_transformer(state["cfg"]["model"]):
            layers = depth(state["model"])
            layers = {"encoder": layers.encoder_layers, "decoder": layers.decoder_layers}
            check_numbers(state["model"])
            check_fits(state["cfg"]["model"], state["model"], layers, any_size)
    except CheckpointError as error:
        raise type(error)(f"{path}: {error}") from None
    except Exception:  # whatever a foreign structure breaks in fairseq's upgrade
        raise CheckpointError(f"{path}: lacks settings that fairseq's checkpoints have") from None
    tie_embeddings(state["model"])
    return state


def plain(value):
    """The same data in types that the safe loader knows without an allow-list.

    Raises: CheckpointError for an object of another type.
    """
    if isinstance(value, np.generic | np.ndarray):  # first: numpy's float64 is a float, too
        return plain(value.tolist())
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return value
    if isinstance(value, DictConfig):
        value = OmegaConf.to_container(value, resolve=True, enum_to_str=True)
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    raise CheckpointError(f"holds a {type(value).__name__} where fairseq has plain data")


def tie_embeddings(model):
    """Make equal embeddings one tensor again, in place: saving from a GPU unties them."""
    there = [name for name in _EMBEDDINGS if name in model]
    for i, name in enumerate(there):
        for first in there[:i]:
            if model[first].shape == model[name].shape and torch.equal(model[first], model[name]):
                model[name] = model[first]
                break


def without_training_state(state):
    """What it takes to translate with a checkpoint or to fine-tune it: no optimizer state."""
    cfg, extra = state["cfg"], state.get("extra_state") or {}
    kept = ("train_iterator", "previous_training_time")
    return {
        "args": None,
        "cfg": {**cfg, "model": without_embedding_files(cfg["model"])},
        "model": state["model"],
        "criterion": None,
        "optimizer_history": state["optimizer_history"][-1:],
        "task_state": state.get("task_state") or {},
        "extra_state": {key: extra[key] for key in kept if key in extra},
    }


def depth(model):
    """How many layers a state_dict has, as a Student of all of them.

    Raises: CheckpointError unless its layers are numbered from 0 without a gap.
    """
    layers = []
    for side in ("encoder", "decoder"):
        pattern = re.compile(rf"{side}\.layers\.(\d+)\.")
        numbers = {int(match[1]) for match in map(pattern.match, model) if match}
        if not numbers or numbers != set(range(len(numbers))):
            raise CheckpointError(f"its {side} is no stack of Transformer layers")
        layers.append(len(numbers))
    return Student(*layers)


def parameters(model):
    """How many numbers there are to learn in a state_dict, tied ones counted once."""
    distinct = {id(t): t.numel() for name, t in model.items() if not name.endswith(NOT_LEARNT)}
    return sum(distinct.values())


def digest(model):
    """Of the bytes of a state_dict's weights: the same of copies."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.items()):
        if name.endswith(NOT_LEARNT):
            continue
        found.update(name.encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.digest()


def check_output(path, force):
    """Raises: CheckpointError if `path` can't be written, or is there and not to be replaced."""
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise CheckpointError(f"{path}: is no ordinary file: choose another name")
    if path.exists() and not force:
        raise CheckpointError(f"{path}: is there already: choose another name, or add --force")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise CheckpointError(f"{path}: can't be written: choose a file in a writable folder")


def save(state, path):
    """Write a checkpoint so that, whatever happens, `path` holds all of it or what was there.

    Raises: OSError, with one line, if it can't be written.
    """
    with whole(path) as file:
        torch.save(state, file)
