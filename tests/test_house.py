"""The rooms of the package: nothing imports upwards, and nothing grows beyond what one reads."""

import ast

import pytest
from conftest import ROOT, USER_DIR

# Each line may import what is above it, and modules of its own room.
FLOORS = (
    ("errors", "layers", "files", "languages", "progress", "pictures", "requirements"),
    ("models",),
    ("checkpoints",),
    ("bert", "criterions", "optim", "patches", "programs"),
    ("export",),
    ("classes",),
    ("evaluation",),
    ("tasks", "distil", "gradual", "importance"),
    ("arguments", "report"),
    ("commands",),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = [
    path for path in USER_DIR.rglob("*.py") if path.parent != USER_DIR or path.stem[0] != "_"
]


def imported(path):
    """The rooms of this package that a module imports."""
    package = path.relative_to(USER_DIR.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            origin = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            inner = [part for part in origin[1:] if part]
            yield from inner[:1] or (name.name for name in node.names if name.name in FLOOR)


def test_nothing_imports_upwards():
    rooms = set()
    for path in MODULES:
        room = path.relative_to(USER_DIR).parts[0].removesuffix(".py")
        rooms.add(room)
        for other in imported(path):
            assert other == room or FLOOR[other] < FLOOR[room] or FLOOR[other] == 0, (path, other)
    assert rooms == FLOOR.keys()


def test_what_one_reads_in_one_go():
    for path in (*MODULES, *ROOT.glob("recipes/**/*.py"), *ROOT.glob("recipes/**/*.sh")):
        assert len(path.read_text().splitlines()) <= 260, path
    for folder in {path.parent for path in MODULES} - {USER_DIR}:
        assert len([*folder.glob("*.py")]) <= 13, folder  # with its __init__.py


def public(tree):
    """The functions and methods of a module whose names say that others may call them."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(USER_DIR)))
def test_public_functions_have_type_hints(path):
    for function in public(ast.parse(path.read_text())):
        given = function.args
        arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        untyped = [
            a.arg for a in arguments if a and not a.annotation and a.arg not in ("self", "cls")
        ]
        assert function.returns and not set(untyped) - {"self", "cls"}, (function.name, untyped)
