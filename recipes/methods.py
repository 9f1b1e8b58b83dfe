"""Methods: files of flags for fairseq-train, in methods/ (of classifiers in classes/), in study/ or
in a corpus' own folder.

A line of a file is of flags, or says what else the method asks of the recipes:

    cut: every other layer           smaller models keep these, instead of the first layers
    text: translated by the teacher  it trains on the teacher's translations of the training text

`{students}` stands for the students that are smaller than the model (`3,2`), `{teacher}` for the
checkpoint of the plain run of the same seed, `{75%}` for that share of a training's updates. Lines
that begin with `#` are comments.
"""

import re
from pathlib import Path
from typing import NamedTuple

from settings import RECIPES

TEACHER = "plain"  # the method from whose run others learn
GRADUAL = "gradual"  # the one that trains and cuts through several depths
SELF_KD = "self-kd"  # the one that is as large as its teacher
# What compare.sh compares: METHOD=all. Those with @ are trained at the size of each student.
ALL: tuple[str, ...] = ("plain", "plain@", "layerdrop", "word-kd@", "seq-kd@")
ALL += ("r-drop", "deep-supervision", "selfteach")
ALL_OF_CLASSES = ("plain", "plain@", "distillation@", "deep-supervision", "selfteach")

_SHARE = re.compile(r"\{(\d+)%\}")
_CUT, _TEXT = "cut: every other layer", "text: translated by the teacher"


class System(NamedTuple):
    """A word of METHOD: NAME[=STUDENTS][@DEPTH], such as selfteach=4x2-2 or plain@3."""

    name: str
    students: tuple[str, ...]  # instead of STUDENTS
    depth: str  # of the model, instead of LAYERS; of a gradual schedule, all that it goes through

    @classmethod
    def parse(cls, word: str) -> "System":
        head, _, depth = word.partition("@")
        name, chosen, students = head.partition("=")
        return cls(name, tuple(students.split("-")) if chosen else (), depth)

    @property
    def depths(self) -> tuple[str, ...]:
        """All that it names."""
        return (*filter(None, self.depth.split("-")), *self.students)


class Method(NamedTuple):
    """What a method's file says."""

    name: str
    flags: tuple[str, ...]
    cuts_every_other_layer: bool
    trains_on_translations: bool

    @property
    def has_students(self) -> bool:
        return any("{students}" in flag for flag in self.flags)

    @property
    def has_teacher(self) -> bool:
        return self.trains_on_translations or any("{teacher}" in flag for flag in self.flags)

    @property
    def needs_updates(self) -> bool:
        return any(_SHARE.search(flag) for flag in self.flags)


def fill_in(flag: str, students: tuple[str, ...], updates: str) -> str:
    """A flag with what its `{students}` and `{75%}` stand for; not `{teacher}`, which is a path.

    Args:
        updates: of the whole training
    """
    flag = flag.replace("{students}", ",".join(students))
    return _SHARE.sub(lambda share: str(int(updates) * int(share[1]) // 100), flag)


def find(name: str, family: str, kind: str = "translation") -> Method:
    """The method of this name: a corpus' own, the one for all, or a trial of the settings.

    Args:
        kind: of what is trained; classes have methods of their own

    Raises: ValueError if there is none, or its file can't be read.
    """
    general = ("classes",) if kind == "classes" else ("methods", "study")
    for folder in (family, *general):
        path = RECIPES / folder / f"{name}.flags"
        if path.is_file():
            return read(path)
    raise ValueError(f"METHOD={name}: there is no recipes/{general[0]}/{name}.flags")


def read(path: Path) -> Method:
    """Read a method's file.

    Raises: ValueError if a line is neither of flags nor a property.
    """
    text = path.read_text(encoding="utf-8")
    flags: list[str] = []
    properties = set()
    for line in map(str.rstrip, text.splitlines()):
        if line.startswith(("cut:", "text:")):
            properties.add(line)
        elif not line.startswith("#"):
            flags += line.split()
    unknown = properties - {_CUT, _TEXT}
    if unknown:
        raise ValueError(f"{path}: '{min(unknown)}': write '{_CUT}' or '{_TEXT}', or leave it out")
    # Files of the first release have them in comments.
    properties |= {line for line in (_CUT, _TEXT) if f"# {line}" in text}
    return Method(path.stem, tuple(flags), _CUT in properties, _TEXT in properties)
