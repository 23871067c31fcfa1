"""The packages that a node runs on, for each Python that schools' PCs have, and those that it learns with besides.

The first are exactly those of `wheels.lock`. The others are in a lock for each Python, because CPU builds of torch are
not to be had for every one from everywhere: where there is none, PCs with that Python stay lean. Locks name versions
and hashes, so whichever index or mirror answers, the bytes are those that were tested. What was fetched once is kept,
and then no network is needed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from central.installers.errors import WheelsUnavailable
from federation.wire.programs import LEARNING

LOCK = Path(__file__).with_name("wheels.lock")
PYTHONS = ("3.11", "3.12", "3.13")
"""Debian 12, Ubuntu 24.04, Debian 13."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""Debian 10, Ubuntu 20.04 and whatever is newer, on 64-bit PCs."""
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Of CPU builds of torch, asked where the index that pip is set up with has none: then for every package it is too."""
_SAID = 300
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def tag_of(python: str) -> str:
    """Return the tag of a version of Python: `cp311` of `3.11`."""
    return f"cp{python.replace('.', '')}"


def learning_lock(python: str) -> Path:
    """Return where the lock of what a PC with this Python learns with is, or would be."""
    return LOCK.with_name(f"{tag_of(python)}{LEARNING}.lock")


def can_learn(python: str) -> bool:
    """Tell whether a PC with this Python can be given what learning takes."""
    return learning_lock(python).is_file()


def lock_read(path: Path = LOCK) -> str:
    """Return a lock, as pip takes it."""
    return path.read_text(encoding="ascii")


def wheels_fetch(*, python: str, kept: Path) -> list[Path]:
    """Return the wheels of the lock for this version of Python, which lie under `kept` now.

    Raises:
        WheelsUnavailable: they do not lie there yet, and no index has them.
    """
    return _fetch(LOCK, python, kept / tag_of(python))


def learning_wheels_fetch(*, python: str, kept: Path) -> list[Path]:
    """Return the wheels that a PC with this Python learns with besides, which lie under `kept` now; none if it cannot.

    Raises:
        WheelsUnavailable: they do not lie there yet, and no index has them.
    """
    lock = learning_lock(python)
    return _fetch(lock, python, kept / lock.stem) if can_learn(python) else []


def _fetch(lock: Path, python: str, folder: Path) -> list[Path]:
    # Thousands of sticks are written after one fetch, and pip takes seconds to find that it has nothing to do.
    mark = folder / f".{hashlib.sha256(lock_read(lock).encode()).hexdigest()}"
    if not mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        ended = _download(lock, python, folder)
        if ended.returncode and lock != LOCK:
            ended = _download(lock, python, folder, "--extra-index-url", TORCH_INDEX)
        if ended.returncode:
            raise WheelsUnavailable(python=python, problem=ended.stderr.strip()[-_SAID:])
        mark.touch()
    return _locked_only(lock, folder, mark)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file of any size in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def wheel_tags(python: str) -> list[str]:
    """Return pip's options for wheels that this version of Python takes on a school's PC."""
    options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    options += [f"--abi={abi}" for abi in (tag_of(python), "abi3", "none")]
    return options + [f"--platform={platform}" for platform in PLATFORMS]


def pip_run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Return how pip ended."""
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries=1", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _download(lock: Path, python: str, folder: Path, *from_where: str) -> subprocess.CompletedProcess[str]:
    wanted = ["--no-deps", "--require-hashes", f"--requirement={lock}", f"--dest={folder}"]
    return pip_run(["download", *wanted, *wheel_tags(python), f"--find-links={folder}", *from_where])


def _locked_only(lock: Path, folder: Path, mark: Path) -> list[Path]:
    """Return the folder's wheels that the lock names; those of an older lock are removed."""
    locked = set(_HASH.findall(lock_read(lock)))
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".whl" and file_sha256(path) in locked:
            found.append(path)
        elif path != mark:
            path.unlink()
    return found
