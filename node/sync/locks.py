"""Who may trade with the centre now: one process at a time, and a stick in somebody's hand before a link."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from node.file_locks import lock_take
from node.sync.errors import ContactUnderWay

STICK_WAIT_SECONDS = 120.0
LOOKED_AT_SECONDS = 1.0
_LOOK_SECONDS = 0.1


@contextmanager
def contact_alone(root: Path) -> Iterator[None]:
    """Hold the right to trade with the centre; another process that has it is waited for."""
    with (root / "sync.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def stick_alone(
    root: Path, *, wait_seconds: float = STICK_WAIT_SECONDS, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Hold the right to trade with the centre by stick; a contact by link lets go of it at its next piece.

    Raises:
        ContactUnderWay: another stick is being read or written here, or the contact did not let go in time.
    """
    with (root / "stick.lock").open("w") as waiting, (root / "sync.lock").open("w") as stream:
        # A contact that looks whether a stick waits holds the first lock for a moment.
        _take_soon(waiting, LOOKED_AT_SECONDS, sleep)
        _take_soon(stream, wait_seconds, sleep)
        yield


def is_stick_waiting(root: Path) -> bool:
    """Return whether a process has a stick in hand, or waits for its turn with one."""
    with (root / "stick.lock").open("w") as stream:
        return not lock_take(stream)


def _take_soon(stream: IO[str], seconds: float, sleep: Callable[[float], None]) -> None:
    until = time.monotonic() + seconds
    while not lock_take(stream):
        if time.monotonic() >= until:
            raise ContactUnderWay
        sleep(_LOOK_SECONDS)
