"""What an installation gets: the packages it imports, and the files that aren't Python."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from selfteach_fairseq import page

OWN = {"selfteach_fairseq", *(path.stem for path in ROOT.glob("recipes/**/*.py"))}


def declared():
    """The packages of setup.py: those that are always installed, and with those of `plot`."""
    call = ast.parse((ROOT / "setup.py").read_text()).body[-1].value
    arguments = {argument.arg: argument.value for argument in call.keywords}
    needed = ast.literal_eval(arguments["install_requires"])
    extras = ast.literal_eval(arguments["extras_require"])
    return [
        {re.match(r"[\w-]+", package)[0].removeprefix("ve-") for package in packages}
        for packages in (needed, needed + extras["plot"])
    ]


def imported(folder, nodes=ast.walk):
    """The modules of others that the files in a folder import."""
    for path in folder.rglob("*.py"):
        for node in nodes(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            yield from {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OWN


@pytest.mark.parametrize("folder", ["selfteach_fairseq", "recipes"])
def test_every_imported_package_is_declared(folder):
    needed, with_plots = declared()
    assert set(imported(ROOT / folder)) <= with_plots
    assert set(imported(ROOT / folder, ast.iter_child_nodes)) <= needed  # at the top of a file


def test_the_page_s_template_is_installed(tmp_path):
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / page.TEMPLATE.relative_to(ROOT)).read_bytes() == page.TEMPLATE.read_bytes()
