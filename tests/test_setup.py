"""What an installation gets: the packages it imports, and the files that aren't Python."""

import ast
import re
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from packaging.specifiers import SpecifierSet

from selfteach_fairseq.export import card
from selfteach_fairseq.report import page

FOLDERS = ("selfteach_fairseq", "recipes", "benchmarks", "tests")
OWN = {"selfteach_fairseq"} | {p.stem for folder in FOLDERS for p in ROOT.glob(f"{folder}/**/*.py")}


def argument(name):
    """An argument of setup() in setup.py."""
    call = ast.parse((ROOT / "setup.py").read_text()).body[-1].value
    return ast.literal_eval(next(word.value for word in call.keywords if word.arg == name))


def declared(*extras):
    """The modules of the packages that an installation with these extras has, by setup.py."""
    packages = sum((argument("extras_require")[x] for x in extras), argument("install_requires"))
    names = [re.match(r"[\w-]+", package)[0] for package in packages]
    modules = {"ve-fairseq": ("fairseq", "fairseq_cli"), "pyyaml": ("yaml",)}
    modules |= {
        "hydra-core": ("hydra",),
        "rouge-score": ("rouge_score",),
        "scikit-learn": ("sklearn",),
    }
    return {module for name in names for module in modules.get(name, (name,))}


def imported(folder, nodes=ast.walk):
    """The modules of others that the files in a folder import."""
    for path in folder.rglob("*.py"):
        if path.parent.name == "fixtures":
            continue  # made in environments of their own
        for node in nodes(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            yield from {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OWN


@pytest.mark.parametrize(
    "folder, extras",
    [
        *(("selfteach_fairseq", ["plot", "ship", "rouge", "bert"]), ("recipes", [])),
        *(("benchmarks", ["dev"]), ("tests", ["dev"])),
    ],
)
def test_every_imported_package_is_declared(folder, extras):
    assert set(imported(ROOT / folder)) <= declared(*extras)


def test_only_functions_import_what_an_extra_installs():
    assert set(imported(ROOT / "selfteach_fairseq", ast.iter_child_nodes)) <= declared()


def test_templates_are_installed(tmp_path):
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for template in (page.TEMPLATE, card.TEMPLATE):
        assert (tmp_path / template.relative_to(ROOT)).read_bytes() == template.read_bytes()


def test_ci_runs_on_every_python_that_is_supported():
    (job,) = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    supported = SpecifierSet(argument("python_requires"))
    assert job["strategy"]["matrix"]["python"] == [
        version for minor in range(40) if (version := f"3.{minor}") in supported
    ]
    assert job["steps"][-1] == {"run": ".ci/run"}
