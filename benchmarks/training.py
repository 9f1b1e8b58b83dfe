"""A fairseq-train of a few updates in a process of its own: their time, and its peak of memory."""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
ON_GPU = torch.cuda.is_available()
# The first updates make buffers and the optimizer's state; on a GPU kernels are chosen, too.
WARM_UP, UPDATES = (10, 40) if ON_GPU else (2, 4)
# As recipes/common.sh has it.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_MAX_": "0"}
FLAGS = (
    *("--label-smoothing", 0.1, "--dropout", 0.3, "--clip-norm", 1),
    *("--adam-betas", "(0.9, 0.98)", "--lr", 5e-4, "--lr-scheduler", "inverse_sqrt"),
    *("--warmup-updates", 1000, "--max-update", WARM_UP + UPDATES),
    *("--required-batch-size-multiple", 1, "--num-workers", 0, "--distributed-world-size", 1),
    *("--disable-validation", "--no-epoch-checkpoints", "--no-progress-bar"),
    *("--log-format", "json", "--log-interval", 1, "--bf16" if ON_GPU else "--cpu"),
)


def train(data: Path, flags: Sequence[object], threads: int, **environment: str) -> dict[str, str]:
    """Measures a training: the seconds of an update, on average, and the peak of its memory.

    Memory: on a GPU what was allocated there, on a CPU the resident set.

    Raises: RuntimeError with the end of its log if it fails.
    """
    modules = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    own = {"OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore", "PYTHONPATH": modules}
    command = [sys.executable, Path(__file__).with_name("peak.py"), data, *FLAGS, *flags]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **own, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, flags))}: {text[-2000:]}")
    updates = [json.loads(line[line.index("{") :]) for line in text.splitlines() if '"wpb"' in line]
    seconds = [float(update["wpb"]) / float(update["wps"]) for update in updates[WARM_UP:]]
    allocated = re.search(r"^allocated on the GPU: (\d+)$", text, re.MULTILINE)
    peak = int(allocated[1]) if allocated else usage.ru_maxrss * 1024
    return {
        "seconds": f"{statistics.mean(seconds):.4f}" if seconds else "",
        "MB": f"{peak / 1e6:.0f}",
    }
