"""`python -m central.installers.lock`: write the locks anew, after the node's dependencies changed.

Versions are those of the environment that this runs in, where it has the package: what the whole suite was run with.
What learning takes is locked for each Python for which an index here has a CPU build of torch.
"""

from __future__ import annotations

import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from central.installers.wheels import LOCK, PYTHONS, TORCH_INDEX, file_sha256, learning_lock, pip_run, wheel_tags

TREE = Path(__file__).resolve().parents[2]
_WHEEL = re.compile(r"([^-]+)-([^-]+)-")
HEAD = "# Written by `make node-lock`: what a school's PC runs on, for every Python that the sticks are for.\n"
LEARNING_HEAD = "# Written by `make node-lock`: what a school's PC with this Python learns with besides.\n"


def dependencies_read(pyproject: Path) -> list[str]:
    """Return what the node asks for, and pip, because a school's PC may have none."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["node"], "pip"]


def learning_dependencies_read(pyproject: Path) -> list[str]:
    """Return what the node asks for to learn with besides; of torch the CPU build."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    asked: list[str] = project["optional-dependencies"]["train"]
    return [f"{each}+cpu" if each.startswith("torch==") else each for each in asked]


def locks_write() -> None:
    """Resolve for each Python, and keep every version with the hashes of all its wheels."""
    pyproject = TREE / "pyproject.toml"
    lean, learning = dependencies_read(pyproject), learning_dependencies_read(pyproject)
    hashes: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        constraints = Path(scratch) / "constraints.txt"
        constraints.write_text(_constraints(), encoding="utf-8")
        for python in PYTHONS:
            found = wheels_hash(_resolve(python, constraints, Path(scratch) / python, lean))
            for requirement, sha256 in found.items():
                hashes.setdefault(requirement, set()).add(sha256)
            both = _resolve_learning(python, constraints, Path(scratch) / f"{python}-learning", [*lean, *learning])
            if both is not None:
                learning_lock_write(python=python, lean=found, both=wheels_hash(both))
    LOCK.write_text(HEAD + _lines(hashes), encoding="ascii")


def wheels_hash(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each wheel in `folder`, by the requirement that asks for it."""
    hashes = {}
    for path in folder.iterdir():
        found = _WHEEL.match(path.name)
        if found is None:
            sys.exit(f"{path.name} is no wheel")
        hashes[f"{found[1].replace('_', '-').lower()}=={found[2]}"] = file_sha256(path)
    return hashes


def learning_lock_write(*, python: str, lean: Mapping[str, str], both: Mapping[str, str]) -> None:
    """Lock what is in `both` and not in `lean`; whoever learns has the same lean packages as the others."""
    if missing := lean.items() - both.items():
        sys.exit(f"{sorted(missing)} would be others beside what learning takes")
    besides = {requirement: {sha256} for requirement, sha256 in both.items() if requirement not in lean}
    learning_lock(python).write_text(LEARNING_HEAD + _lines(besides), encoding="ascii")


def _resolve(python: str, constraints: Path, folder: Path, asked: Sequence[str], *from_where: str) -> Path:
    wanted = [f"--dest={folder}", f"--constraint={constraints}", *asked]
    ended = pip_run(["download", *wheel_tags(python), *wanted, *from_where])
    if ended.returncode:
        sys.exit(ended.stderr)
    return folder


def _resolve_learning(python: str, constraints: Path, folder: Path, asked: Sequence[str]) -> Path | None:
    torch = next(each for each in asked if each.startswith("torch=="))
    for from_where in ((), ("--extra-index-url", TORCH_INDEX)):
        one = [f"--dest={folder}", "--no-deps", *from_where, torch]
        if not pip_run(["download", *wheel_tags(python), *one]).returncode:
            return _resolve(python, constraints, folder, asked, f"--find-links={folder}")
    sys.stderr.write(f"No index here has {torch} for Python {python}: its lock stays as it is.\n")
    return None


def _lines(hashes: Mapping[str, set[str]]) -> str:
    lines = [
        " \\\n    ".join([requirement, *(f"--hash=sha256:{each}" for each in sorted(hashes[requirement]))])
        for requirement in sorted(hashes)
    ]
    return "\n".join(lines) + "\n"


def _constraints() -> str:
    # Labels as in torch's +cpu name builds that no index has; pip itself is tooling, and may be newer.
    found = ((each.name, each.version) for each in metadata.distributions())
    return "\n".join(f"{name}=={version}" for name, version in found if "+" not in version and name != "pip")


if __name__ == "__main__":
    locks_write()
