"""One training at a time on a PC, and a way to see whether one runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.file_locks import is_lock_held


@contextmanager
def learning_alone(root: Path) -> Iterator[None]:
    """Hold the right to learn on this PC; another process that holds it is waited for."""
    (root / "rounds").mkdir(parents=True, exist_ok=True)
    with _path(root).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_learning(root: Path) -> bool:
    """Return whether a process is learning now; a process that was killed holds nothing any more."""
    return is_lock_held(_path(root))


def _path(root: Path) -> Path:
    return root / "rounds" / "train.lock"
