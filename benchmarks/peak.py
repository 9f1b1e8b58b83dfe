"""fairseq-train; on a GPU it says at the end how much was allocated there at most."""

from unittest.mock import patch

import torch
from fairseq_cli.train import cli_main

# fairseq starts the peak anew after every update.
with patch.object(torch.cuda, "reset_peak_memory_stats"):
    cli_main()
if torch.cuda.is_available():
    print(f"\nallocated on the GPU: {torch.cuda.max_memory_allocated()}")
