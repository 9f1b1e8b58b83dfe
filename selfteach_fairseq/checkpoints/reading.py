"""What a checkpoint's file holds, by the one safe reader, and as plain data."""

import errno
import os
import pickle
import re
import stat
import warnings
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from ..errors import CheckpointError

_ZIP = b"PK\x03\x04"


def read(path: Path | str) -> Any:
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
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Is a directory" if stat.S_ISDIR(status.st_mode) else "No file")
    return status.st_size


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


def plain(value: Any) -> Any:
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
