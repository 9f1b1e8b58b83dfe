"""What the installed fairseq and torch must have, and what of them has to be mended."""

import argparse
import logging

import numpy as np
import torch

# Or every import would print that fairseq's text-to-speech task misses tensorboardX.
logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)

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
