"""One step of a worker under torch's DDP, wrapped as fairseq's pytorch_ddp does, without a GPU.

usage: torchrun ddp_step.py PATH FLAG...    the first worker saves its gradients in PATH
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from fairseq.distributed import ModuleProxyWrapper
from torch.nn.parallel import DistributedDataParallel

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from tiny import batch, build, gradients  # noqa: E402

import selfteach_fairseq  # noqa: E402, F401


def rows(sample, which):
    if isinstance(sample, dict):
        return {name: rows(part, which) for name, part in sample.items()}
    return sample[which] if torch.is_tensor(sample) else sample


path, *flags = sys.argv[1:]
dist.init_process_group("gloo")
model, criterion = build(*flags)
options = {"find_unused_parameters": "--find-unused-parameters" in flags}
worker = ModuleProxyWrapper(DistributedDataParallel(model.train(), **options))
mine = slice(0, 3) if dist.get_rank() == 0 else slice(3, 6)
loss, _, _ = criterion(worker, rows(batch(sentences=6), mine))
loss.backward()
if dist.get_rank() == 0:
    torch.save(gradients(model), path)
dist.barrier()
del worker, loss  # before the group that they use, or torch may abort at the end
dist.destroy_process_group()
