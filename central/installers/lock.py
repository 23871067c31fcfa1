"""`python -m central.installers.lock`: write `wheels.lock` anew, after the node's dependencies changed.

Versions are those of the environment that this runs in, where it has the package: what the whole suite was run with.
"""

from __future__ import annotations

import re
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

from central.installers.wheels import LOCK, PYTHONS, file_sha256, pip_run, wheel_tags

TREE = Path(__file__).resolve().parents[2]
_WHEEL = re.compile(r"([^-]+)-([^-]+)-")
HEAD = "# Written by `make node-lock`: what a school's PC runs on, for every Python that the sticks are for.\n"


def dependencies_read(pyproject: Path) -> list[str]:
    """Return what the node asks for, and pip, because a school's PC may have none."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["node"], "pip"]


def lock_write() -> None:
    """Resolve for each Python, and keep every version with the hashes of all its wheels."""
    hashes: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        constraints = Path(scratch) / "constraints.txt"
        constraints.write_text(_constraints(), encoding="utf-8")
        for python in PYTHONS:
            folder = Path(scratch) / python
            wanted = [f"--dest={folder}", f"--constraint={constraints}", *dependencies_read(TREE / "pyproject.toml")]
            ended = pip_run(["download", *wheel_tags(python), *wanted])
            if ended.returncode:
                sys.exit(ended.stderr)
            for path in folder.iterdir():
                found = _WHEEL.match(path.name)
                if found is None:
                    sys.exit(f"{path.name} is no wheel")
                requirement = f"{found[1].replace('_', '-').lower()}=={found[2]}"
                hashes.setdefault(requirement, set()).add(file_sha256(path))
    lines = [
        " \\\n    ".join([requirement, *(f"--hash=sha256:{each}" for each in sorted(hashes[requirement]))])
        for requirement in sorted(hashes)
    ]
    LOCK.write_text(HEAD + "\n".join(lines) + "\n", encoding="ascii")


def _constraints() -> str:
    # Labels as in torch's +cpu name builds that no index has; pip itself is tooling, and may be newer.
    found = ((each.name, each.version) for each in metadata.distributions())
    return "\n".join(f"{name}=={version}" for name, version in found if "+" not in version and name != "pip")


if __name__ == "__main__":
    lock_write()
