"""Run a training and write down how long it took, and the most memory.

    python recipes/measure.py COST.json -- COMMAND...

Memory is, on a GPU, what fairseq reports as taken (to 0.1 GiB, of the first worker), else the
largest resident set of a process; of a training that was interrupted it is the last part's. The
time is that of all parts, from the checkpoint_last.pt beside COST.json, or of all stages, from the
schedule.json there; without what a checkpoint of --finetune-from-model has taken before.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

FREE = re.compile(r"\| gb_free ([\d.]+)|gb_free=([\d.]+)")


def main(cost, dashes, *command):
    assert dashes == "--"
    least_free = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            for found in FREE.findall(line.decode(errors="replace")):
                free = float("".join(found))
                least_free = free if least_free is None else min(free, least_free)
    if process.returncode:
        return process.returncode if process.returncode > 0 else 1
    kibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    record = {"peak_memory_bytes": kibibytes * 1024, "peak_memory_of": "resident set"}
    if least_free is not None:
        record = {"peak_memory_bytes": _taken(least_free), "peak_memory_of": "GPU"}
    record["training_seconds"] = _training_seconds(Path(cost).parent, command)
    if (
        os.environ.get("PET_NODE_RANK", "0") == "0"
    ):  # torchrun's: the first machine's stands for all
        fresh = Path(f"{cost}.new")
        fresh.write_text(json.dumps(record) + "\n", encoding="utf-8")
        fresh.replace(cost)
    return 0


def _training_seconds(folder, command):
    schedule = folder / "schedule.json"
    if schedule.exists():
        return sum(
            stage["training_seconds"] for stage in json.loads(schedule.read_bytes())["stages"]
        )
    # Not above, for it would take 300 MB beside the training.
    from selfteach_fairseq.checkpoints.checkpoint import Checkpoint

    def seconds(path):
        return Checkpoint.read(path, any_size=True).training_seconds

    total = seconds(folder / "checkpoint_last.pt")
    if "--finetune-from-model" in command:  # fairseq counts on from there
        total -= seconds(command[command.index("--finetune-from-model") + 1]) or 0
    return total


def _taken(free):
    import torch

    return torch.cuda.get_device_properties(0).total_memory - int(free * 2**30)


if __name__ == "__main__":
    try:
        raise SystemExit(main(*sys.argv[1:]))
    except ValueError as error:
        raise SystemExit(f"measure.py: error: {error}") from None
    except KeyboardInterrupt:  # without a traceback, and as the shell expects of Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
