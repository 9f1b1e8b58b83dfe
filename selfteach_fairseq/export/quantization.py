"""The kinds of numbers that an exported model is stored in."""

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ctranslate2.specs import TransformerSpec

QUANTIZATIONS = ("none", "int8", "int8_float32", "int8_float16", "int16", "float16", "bfloat16")
# CTranslate2 scales each row of a matrix to 127. On x86 CPUs without VNNI its products are added up
# in 16 bits, two at a time, where 255 * 127 * 2 does not fit: it is cut off, in silence, and cost
# 0.02 to 0.03 bits a token. 255 * 64 * 2 fits everywhere, and costs 0.001.
_LARGEST_INT8 = 64


def quantized(spec: "TransformerSpec", quantization: str) -> "TransformerSpec":
    """A copy of a specification of float32, in other numbers and with equal matrices only once.

    Args:
        quantization: one of QUANTIZATIONS

    Raises: ValueError if the numbers can't be such ones.
    """
    given = {name: value for name, value in spec.variables().items() if not isinstance(value, str)}
    spec = copy.deepcopy(spec)
    with np.errstate(all="ignore"):  # of what is refused below
        spec.optimize("float32" if quantization == "none" else quantization)
    for name, value in spec.variables().items():
        if isinstance(value, str):  # the name of an equal one
            continue
        if value.dtype == "int8" and not value.is_scalar():
            _scale_rows(spec, name, given[name].to("float32").numpy())
        elif "float" in value.dtype and not np.isfinite(value.to("float32").numpy()).all():
            raise ValueError(f"--quantization {quantization}: can't hold {name}: choose another")
    return spec


def _scale_rows(spec: Any, name: str, matrix: np.ndarray) -> None:
    """Sets a matrix in 8 bits, and what its rows have been multiplied by."""
    from ctranslate2.specs.model_spec import NumpyVariable, index_spec

    largest = np.abs(matrix).max(axis=1)
    # A row of zeros stays one; a tiny one's scale must still be a number.
    largest = np.maximum(largest, _LARGEST_INT8 / np.finfo(np.float32).max)
    scale = (_LARGEST_INT8 / largest).astype(np.float32)
    scope, _, attribute = name.rpartition("/")
    layer = index_spec(spec, scope)
    rounded = np.rint(matrix * scale[:, np.newaxis]).astype(np.int8)
    setattr(layer, attribute, NumpyVariable(rounded))
    setattr(layer, f"{attribute}_scale", NumpyVariable(scale))
