"""A school's PC gets neither torch nor flwr, celery or DRF, and works without the centre's code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NODE_SIDE = ("federation", "node", "tests", "manage.py", "pyproject.toml", "README.md", "LICENSE")
HEAVY = ("torch", "flwr", "celery", "rest_framework", "transformers", "peft")
TEST_TOOLS = ("pytest", "pytest-django", "hypothesis")
INSTALL_SECONDS = 900
TESTS_SECONDS = 1800


@pytest.fixture(scope="module")
def lean(tmp_path_factory):
    """A copy of the tree without the centre, and a fresh environment with `.[node]` alone."""
    tree = tmp_path_factory.mktemp("lean") / "tree"
    tree.mkdir()
    for name in NODE_SIDE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, tree / name)
    environment = tree.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--retries", "1", ".[node]", *TEST_TOOLS]
    subprocess.run(install, cwd=tree, check=True, timeout=INSTALL_SECONDS)
    return tree, python


def _run(lean, *arguments, root, **options):
    tree, python = lean
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment["SORO_NODE_ROOT"] = str(root)
    return subprocess.run(
        [python, *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=False, **options
    )


@pytest.mark.slow
def test_the_node_extra_brings_none_of_the_heavy_packages(lean, tmp_path):
    found = "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"

    ended = _run(lean, "-c", found, "central", *HEAVY, root=tmp_path)

    assert ended.stdout.strip() == "[]", ended.stderr


@pytest.mark.slow
def test_a_node_without_the_centre_passes_its_own_check(lean, tmp_path):
    ended = _run(lean, "manage.py", "node", "check", root=tmp_path)

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_the_nodes_tests_pass_without_the_centre(lean, tmp_path):
    # The slow ones are mostly about the way to a centre, and run beside it.
    arguments = (
        "-m",
        "pytest",
        "tests/node",
        "-q",
        "-m",
        "not slow",
        "--ds=tests.node_settings",
        "-p",
        "no:cacheprovider",
    )

    ended = _run(lean, *arguments, root=tmp_path, timeout=TESTS_SECONDS)

    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    assert " passed" in ended.stdout
