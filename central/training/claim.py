"""Tells at once that the process which worked on a round has ended: the kernel lets go of a dead process's lock.

Of a process on another machine this says nothing: a shared disk may not carry locks. Its last sign of life counts.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a process knows of the one that combined this round before it."""

    is_left: bool
    """It ran on this machine, and has ended."""
    _stream: TextIO | None

    @property
    def is_ours(self) -> bool:
        """Tell whether this process holds the lock, so that no other of this machine works on the round."""
        return self._stream is not None

    def sign(self) -> None:
        """Leave word that the round was claimed on this machine."""
        self._write(socket.gethostname())

    def withdraw(self) -> None:
        """Leave no word: what this process did has failed, and it was not cut."""
        self._write("")

    def _write(self, word: str) -> None:
        if self._stream is not None:
            self._stream.truncate(0)
            self._stream.write(word)
            self._stream.flush()


@contextmanager
def claim_hold(folder: Path, *, round_id: str) -> Iterator[Claim]:
    """Hold the round's lock in `folder`; of a process that holds it already nothing is known but its signs of life."""
    folder.mkdir(parents=True, exist_ok=True)
    # Appending needs no place to write at, whatever was read.
    with (folder / round_id).open("a+", encoding="utf-8") as stream:
        if not _is_locked(stream):
            yield Claim(is_left=False, _stream=None)
            return
        stream.seek(0)
        yield Claim(is_left=stream.read() == socket.gethostname(), _stream=stream)


def _is_locked(stream: TextIO) -> bool:
    """Lock the file for this process, until it is closed, and tell whether that could be done."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
