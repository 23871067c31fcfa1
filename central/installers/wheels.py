"""The packages that a node runs on: exactly those of `wheels.lock`, for each Python that schools' PCs have.

The lock names versions and hashes, so whichever index or mirror answers, the bytes are those that were tested. What was
fetched once is kept, and then no network is needed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from central.installers.errors import WheelsUnavailable

LOCK = Path(__file__).with_name("wheels.lock")
PYTHONS = ("3.11", "3.12", "3.13")
"""Debian 12, Ubuntu 24.04, Debian 13."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""Debian 10, Ubuntu 20.04 and whatever is newer, on 64-bit PCs."""
_SAID = 300
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def lock_read() -> str:
    """Return the lock, as pip takes it."""
    return LOCK.read_text(encoding="ascii")


def wheels_fetch(*, python: str, kept: Path) -> list[Path]:
    """Return the wheels of the lock for this version of Python, which lie under `kept` now.

    Raises:
        WheelsUnavailable: they do not lie there yet, and no index has them.
    """
    folder = kept / f"cp{python.replace('.', '')}"
    # Thousands of sticks are written after one fetch, and pip takes seconds to find that it has nothing to do.
    mark = folder / f".{hashlib.sha256(lock_read().encode()).hexdigest()}"
    if not mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        ended = _download(python, folder)
        if ended.returncode:
            raise WheelsUnavailable(python=python, problem=ended.stderr.strip()[-_SAID:])
        mark.touch()
    return _locked_only(folder, mark)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file of any size in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def wheel_tags(python: str) -> list[str]:
    """Return pip's options for wheels that this version of Python takes on a school's PC."""
    options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    options += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    return options + [f"--platform={platform}" for platform in PLATFORMS]


def pip_run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Return how pip ended."""
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries=1", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _download(python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    wanted = ["--no-deps", "--require-hashes", f"--requirement={LOCK}", f"--dest={folder}"]
    return pip_run(["download", *wanted, *wheel_tags(python), f"--find-links={folder}"])


def _locked_only(folder: Path, mark: Path) -> list[Path]:
    """Return the folder's wheels that the lock names; those of an older lock are removed."""
    locked = set(_HASH.findall(lock_read()))
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".whl" and file_sha256(path) in locked:
            found.append(path)
        elif path != mark:
            path.unlink()
    return found
