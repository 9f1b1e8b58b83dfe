"""By what clock something is timed, by the unit that its rows have."""

import time

import shapes
import torch


def wall_clock():
    if shapes.on_gpu():
        torch.cuda.synchronize()
    return time.perf_counter()


# A processor's seconds are a thread's own: other programs on the machine add nothing to them. On
# an idle machine a single thread takes as many by the clock on the wall.
CLOCKS = {"s": wall_clock, "processor s": time.process_time}


def unit_of_one_thread():
    return "s" if shapes.on_gpu() else "processor s"
