"""The settings of a corpus that decide which runs there are, as settings.sh has them."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

RECIPES = Path(__file__).absolute().parent
_READ = """
source "$1" "$2" >/dev/null
for name in "${@:3}"; do declare -n value=$name; printf '%s\\0' "${value[*]}"; done
"""


class Settings(NamedTuple):
    """What settings.sh, the file SETTINGS and the environment say, as it is written there."""

    corpus: str
    family: str  # of iwslt14-de: iwslt14
    kind: str  # translation, or classes
    work: str
    types: str
    normalization: str
    layers: str
    students: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[str, ...]
    average: tuple[str, ...]
    lenpens: tuple[str, ...]
    test_set: str
    engines: tuple[str, ...]
    within: str
    ship: str
    quantization: str
    checkpoint: str
    updates: str
    training: tuple[str, ...]
    refine: tuple[str, ...]
    refine_depths: tuple[str, ...]
    refine_updates: str
    needs_gpu: str
    metric: str
    bart: str
    cut_source: str
    longest_text: str


class Machine(NamedTuple):
    """What the environment says of where and how to train."""

    precision: str = "fp32"
    cpu: str = "0"
    keep_every: str = ""
    nproc_per_node: str = "1"
    nnodes: str = "1"
    node_rank: str = ""
    master_addr: str = ""

    @classmethod
    def from_environment(cls) -> "Machine":
        given = {name: os.environ.get(name.upper()) for name in cls._fields}
        return cls(**{name: value for name, value in given.items() if value})

    @property
    def workers(self) -> int:
        return int(self.nproc_per_node) * int(self.nnodes)


class SettingsError(ValueError):
    """What is wrong with the settings, a line each."""


def read(corpus: str) -> Settings:
    """Has bash read the settings.

    Raises: SettingsError if that fails.
    """
    names = Settings._fields
    result = subprocess.run(
        ["bash", "-c", _READ, "recipes", RECIPES / "settings.sh", corpus, *names],
        capture_output=True,
    )
    if result.returncode:
        raise SettingsError(os.fsdecode(result.stderr).rstrip("\n"))
    values = dict(zip(names, os.fsdecode(result.stdout).split("\0"), strict=False))
    lists = {
        name: tuple(values.pop(name).split())
        for name, kind in Settings.__annotations__.items()
        if kind == tuple[str, ...]
    }
    return Settings(**values, **lists)
