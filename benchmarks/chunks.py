"""What a bigger chunk of logits spares the loss, and takes: python benchmarks/chunks.py 10000 32000

The loss and its gradients for an update of bf16 on a GPU: of 4,096 tokens, 512 wide.
"""

import argparse
import statistics
import time

import torch
from training import ON_GPU
from updates import most_allocated

from selfteach_fairseq.criterions.losses import self_teaching_loss
from selfteach_fairseq.criterions.terms import Objective

ROUNDS = 20
BYTES = [2**n for n in range(25, 29)]  # of one tensor (tokens of a chunk, types) in fp32


def measure(tokens: int, width: int, types: int, students: int, chunk: int) -> tuple[float, float]:
    """The median of the seconds of a call, and the MB that were allocated on a GPU beside it."""
    device, dtype = ("cuda", torch.bfloat16) if ON_GPU else ("cpu", torch.float32)
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(tokens, width, generator=generator) for _ in range(students + 1)]
    models = [model.to(device, dtype).requires_grad_() for model in drawn]
    weight = (torch.randn(types, width, generator=generator) / width**0.5).to(device, dtype)
    weight.requires_grad_()
    target = torch.randint(types, (tokens,), generator=generator).to(device)
    objective = Objective(0.1, 1.0, 1.0, "kl", "both", 1.0)

    def call():
        loss = self_teaching_loss(
            models[0], models[1:], weight, target, objective, chunk_tokens=chunk
        ).loss
        torch.autograd.grad(loss, [weight, *models])
        if ON_GPU:
            torch.cuda.synchronize()

    seconds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    peak = most_allocated(call) - torch.cuda.memory_allocated() if ON_GPU else 0
    return statistics.median(seconds[1:]), peak / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("types", type=int, nargs="+", help="sizes of vocabularies")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--width", type=int, default=512)
    arguments = parser.parse_args()
    print("| types | students | tokens a chunk | loss and gradients | MB |")
    print("|---:|---:|---:|---:|---:|")
    for types in arguments.types:
        for students in (1, 3):
            for size in BYTES:
                chunk = size // (4 * types)
                seconds, peak = measure(arguments.tokens, arguments.width, types, students, chunk)
                line = f"{types:,} | {students} | {chunk:,} | {seconds * 1e3:.2f} ms | {peak:,.0f}"
                print(f"| {line} |", flush=True)


if __name__ == "__main__":
    main()
