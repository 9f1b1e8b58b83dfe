"""What the installed fairseq and torch must have, and what of them has to be mended."""

import argparse
import logging
import os

import numpy as np
import torch

# Or every import would print that fairseq's text-to-speech task misses tensorboardX.
logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)

from fairseq import file_io  # noqa: E402
from fairseq.models.transformer import TransformerConfig  # noqa: E402

# The 0.12.2 release and its later development branch call themselves the same version.
if not hasattr(TransformerConfig, "merge_src_tgt_embed"):
    raise SystemExit(
        "selfteach_fairseq needs a newer fairseq than the 0.12.2 release: pip install ve-fairseq"
    )

# torch's safe loader refuses what fairseq itself writes into checkpoints: the settings of models
# configured by argparse, and with --eval-bleu numpy's scalars. All of these are plain data.
torch.serialization.add_safe_globals(
    [
        argparse.Namespace,
        np.ndarray,
        np.dtype,
        np.zeros(1).__reduce__()[0],  # numpy's own functions for it, wherever this version has them
        np.float64(0).__reduce__()[0],
        *{type(np.dtype(kind)) for kind in ("int64", "float64", "float32", "int32", "bool")},
    ]
)


def _copy_whole(src_path, dst_path, overwrite=False):
    """PathManager.copy, except that a local file is there whole or not at all.

    fairseq copies checkpoint_last.pt in place, which a crash leaves torn, and has no hook there.
    """
    if file_io.PathManager.path_requires_pathmanager(dst_path):
        return _copy(src_path, dst_path, overwrite=overwrite)
    partial = f"{dst_path}.tmp"
    done = _copy(src_path, partial, overwrite=True)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, dst_path)
    return done


_copy = file_io.PathManager.copy
file_io.PathManager.copy = staticmethod(_copy_whole)
