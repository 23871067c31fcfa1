"""Locks between this PC's processes: the kernel lets go of them with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


def lock_take(stream: IO[str]) -> bool:
    """Take the lock of the open file unless another process has it, or looks at it right now; return whether it was."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_lock_held(path: Path) -> bool:
    """Return whether a process holds the lock of the file at `path`, which need not be there."""
    try:
        with path.open() as stream:
            # Shared, so that two who look at the same moment do not take each other for its holder.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
