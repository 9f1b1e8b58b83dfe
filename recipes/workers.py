"""How the workers of a training are started: recipes/workers.py

Prints, for the shell, the words before fairseq-train (`launch`), the options that tell it of the
workers (`workers`) and those of the numbers that it computes with (`numbers`), from NPROC_PER_NODE,
NNODES and PRECISION.
"""

import os
import shlex

from settings import Machine


def count_gpus() -> int:
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return 0  # without the two seconds that torch takes
    import torch

    return torch.cuda.device_count()


def launch(machine: Machine, gpus: int) -> list[str]:
    """torchrun's words, if there are several workers.

    It reads the place of a machine among several in variables of its own, so that all of them run
    the same command.
    """
    if machine.workers == 1:
        return []
    where = ["--nnodes", machine.nnodes] if int(machine.nnodes) > 1 else ["--standalone"]
    rank = '--distributed-rank "$RANK"' + (' --device-id "$LOCAL_RANK"' if gpus else "")
    return [
        *("torchrun", *where, "--nproc-per-node", machine.nproc_per_node, "--no-python"),
        *("bash", "-c", f'exec "$@" {rank}', "bash"),
    ]


def workers(machine: Machine, gpus: int) -> list[str]:
    """fairseq would take the number of GPUs it sees."""
    options = ["--distributed-world-size", str(machine.workers)]
    if machine.workers > 1:
        options += ["--distributed-init-method", "env://", "--distributed-no-spawn"]
        backend = ("nccl", "pytorch_ddp") if gpus else ("gloo", "legacy_ddp")
        options += ["--distributed-backend", backend[0], "--ddp-backend", backend[1]]
    return options


def numbers(machine: Machine, gpus: int) -> list[str]:
    precision = [] if machine.precision == "fp32" else [f"--{machine.precision}"]
    return precision if gpus else [*precision, "--cpu"]


def main() -> None:
    machine, gpus = Machine.from_environment(), count_gpus()
    for words in (launch, workers, numbers):
        print(f"{words.__name__}=({shlex.join(words(machine, gpus))})")


if __name__ == "__main__":
    main()
