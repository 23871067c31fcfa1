"""One training at a time on a PC, and a way to see whether one runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def learning_alone(root: Path) -> Iterator[None]:
    """Hold the right to learn on this PC; another process that holds it is waited for."""
    (root / "rounds").mkdir(parents=True, exist_ok=True)
    with _path(root).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_learning(root: Path) -> bool:
    """Return whether a process is learning now; a process that was killed holds nothing any more."""
    try:
        with _path(root).open() as stream:
            # Shared, so that two pages which look at the same moment do not take each other for a training.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _path(root: Path) -> Path:
    return root / "rounds" / "train.lock"
