"""What an update draws of its batch and of the students: by its number, for runs that are resumed.

Shapes: B batch, T target length.
"""

import random
from hashlib import blake2b

import torch
from torch import Tensor

from ..layers import Layers


def draw_students(students: tuple[Layers, ...], count: int, update: int) -> tuple[Layers, ...]:
    """So many of the students, in their order."""
    drawn = random.Random(update).sample(students, count)
    return tuple(sorted(drawn, key=students.index))


def draw_tokens(present: Tensor, sentences: Tensor, update: int, share: float) -> Tensor:
    """A share of every sentence's tokens, evenly spaced from a drawn start.

    Every token is drawn with probability `share`, so a sum over the drawn ones, divided by the
    share, has the expectation of the sum over all; and how many there are of a sentence is within 1
    of its share. They are the same in whichever batch, and on whichever worker, the sentence is.

    Args:
        present: (B, T) true for tokens, false for padding
        sentences: (B,) numbers of the sentences in the data

    Returns: (B, T) true for the drawn tokens
    """
    starts = [_fraction(update, sentence) for sentence in sentences.tolist()]
    start = torch.tensor(starts, dtype=torch.float64, device=present.device).unsqueeze(1)
    # A token is drawn where this passes an integer.
    passed = present.cumsum(dim=1, dtype=torch.float64) * share + start
    return present & (passed.floor() > (passed - share).floor())


def _fraction(update, sentence):
    """A number from 0 to 1 that the two numbers choose."""
    digest = blake2b(b"%d %d" % (update, sentence), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
