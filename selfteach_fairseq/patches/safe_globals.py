"""fairseq's own checkpoints can be read by torch's safe loader.

It refuses what fairseq writes into them: the settings of models configured by argparse, and with
--eval-bleu numpy's scalars. All of these are plain data.
"""

import argparse
from typing import Any

import numpy as np
import torch

_PLAIN: list[Any] = [
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    np.zeros(1).__reduce__()[0],  # numpy's own functions for it, wherever this version has them
    np.float64(0).__reduce__()[0],
    *{type(np.dtype(kind)) for kind in ("int64", "float64", "float32", "int32", "bool")},
]


def apply() -> None:
    torch.serialization.add_safe_globals(_PLAIN)
