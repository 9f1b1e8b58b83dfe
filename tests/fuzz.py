"""Read broken copies of a file by the hundred, in a process of its own.

    python tests/fuzz.py READER FAULT FILE COUNT

Prints how many were refused, each in one line, and how many were read as if they were whole; those
must be it. Ends in an error for another exception, another content, or too much memory or time.
"""

import gzip
import io
import logging
import random
import resource
import sys
import tempfile
import zipfile
from pathlib import Path

import conftest  # noqa: F401  the paths
import iwslt14
import iwslt14_archive
import torch
from text import CorpusError

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.errors import CheckpointError

MOST_MEMORY = 2**30  # bytes, with all libraries
MOST_TIME = 900  # seconds of a processor


def cuts(whole, number, count, rng):
    return whole[: number * len(whole) // count]


def flips(whole, number, count, rng):
    place = rng.randrange(len(whole))
    return whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :]


def blocks(whole, number, count, rng):
    """Bytes lost, doubled, overwritten, or out of order."""
    a, b, c, d = sorted(rng.randrange(len(whole) + 1) for _ in range(4))
    size = min(b - a, rng.choice([1, 16, 512, len(whole)]))
    return rng.choice(
        [
            whole[:a] + whole[a + size :],
            whole[: a + size] + whole[a:],
            whole[:a] + rng.randbytes(size) + whole[a + size :],
            whole[:a] + whole[c:d] + whole[b:c] + whole[a:b] + whole[d:],
        ]
    )


def within(whole, number, count, rng):
    """The pickle in a checkpoint, or the tar in an archive, damaged under a checksum that fits."""
    if whole.startswith(b"\x1f\x8b"):
        return gzip.compress(_damaged(gzip.decompress(whole), number, count, rng), 1)
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as archive,
        zipfile.ZipFile(packed, "w") as changed,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith("data.pkl"):
                content = _damaged(content, number, count, rng)
            changed.writestr(name, content)
    return packed.getvalue()


def _damaged(content, number, count, rng):
    for _ in range(rng.choice([1, 1, 1, 3, 10])):
        content = rng.choice([flips, blocks])(content, number, count, rng)
    return content


def read_checkpoint(path):
    """The tensors, after all that the commands do with a checkpoint."""
    whole = Checkpoint.read(path)
    whole.cut(whole.layers, fp16=True).write(path.with_name("cut.pt"))
    torch.load(path.with_name("cut.pt"), weights_only=True)
    return {name: tensor.numpy().tobytes() for name, tensor in whole.weights.items()}


def read_archive(path):
    return iwslt14.build(iwslt14_archive.read(path, "de"), "de")


READERS = {"checkpoint": read_checkpoint, "release": read_archive, "pair": read_archive}
FAULTS = {"cuts": cuts, "flips": flips, "blocks": blocks, "within": within}


def main(reader, fault, source, count):
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_TIME, MOST_TIME))
    logging.disable()
    read, damage, rng = READERS[reader], FAULTS[fault], random.Random(0)
    whole, expected, refused = Path(source).read_bytes(), read(Path(source)), 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "broken")
        for number in range(count):
            path.write_bytes(damage(whole, number, count, rng))
            try:
                found = read(path)
            except (CheckpointError, CorpusError) as error:
                assert "\n" not in str(error), error
                refused += 1
            else:
                assert fault == "within" or found == expected, f"copy {number} is another"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert memory < MOST_MEMORY, f"{memory:,} bytes"
    print(refused, count - refused)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
