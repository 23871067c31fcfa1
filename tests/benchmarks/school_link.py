"""A school's link on loopback, at its own speed both ways, that is up for some seconds in so many.

A TCP proxy: TLS passes through. What crosses is counted; while the link is down, connections are cut and refused.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Up for the first `up_seconds` of every `of_seconds`; the defaults are always up."""

    up_seconds: float = 1.0
    of_seconds: float = 1.0

    def is_up(self, seconds: float) -> bool:
        """Tell whether the link is up so long after its beginning."""
        return seconds % self.of_seconds < self.up_seconds


@dataclass
class _Lane:
    """One direction: pieces cross one after another."""

    bytes_a_second: float
    crossed: int = 0
    free_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cross(self, size_bytes: int) -> None:
        """Return when these bytes are over, after all those that were before them."""
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + size_bytes / self.bytes_a_second
            wait, self.crossed = self.free_at - time.monotonic(), self.crossed + size_bytes
        time.sleep(max(0.0, wait))


class SchoolLink:
    """The link to the server at `port`; use it as a context manager."""

    def __init__(self, port: int, *, kbit_s: float, schedule: Schedule | None = None) -> None:
        """Begin the schedule now."""
        self._target = ("127.0.0.1", port)
        self._schedule = schedule or Schedule()
        self._up, self._down = _Lane(kbit_s * 125), _Lane(kbit_s * 125)
        self._began, self._open, self._lock = time.monotonic(), set[socket.socket](), threading.Lock()
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])

    def __enter__(self) -> SchoolLink:
        for target in (self._accept, self._watch):
            threading.Thread(target=target, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._listening.close()
        self._cut()

    @property
    def bytes_up(self) -> int:
        """What has crossed from the school."""
        return self._up.crossed

    @property
    def bytes_down(self) -> int:
        """What has crossed to the school."""
        return self._down.crossed

    @property
    def is_up(self) -> bool:
        """Tell whether the link is up now."""
        return self._schedule.is_up(time.monotonic() - self._began)

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            if not self.is_up:
                self._cut()

    def _accept(self) -> None:
        while True:
            try:
                school, _ = self._listening.accept()
            except OSError:
                return
            if self.is_up:
                self._join(school)
            else:
                school.close()

    def _join(self, school: socket.socket) -> None:
        try:
            centre = socket.create_connection(self._target)
        except OSError:
            school.close()
            return
        for end in (school, centre):
            # Small buffers: what waits in one has not crossed the link.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * PIECE_BYTES)
        with self._lock:
            self._open |= {school, centre}
        self._carry(school, centre, self._up.cross)
        self._carry(centre, school, self._down.cross)

    def _carry(self, source: socket.socket, target: socket.socket, cross: Callable[[int], None]) -> None:
        def run() -> None:
            with contextlib.suppress(OSError):
                while piece := source.recv(PIECE_BYTES):
                    cross(len(piece))
                    target.sendall(piece)
            self._end(source, target)

        threading.Thread(target=run, daemon=True).start()

    def _cut(self) -> None:
        with self._lock:
            ending = list(self._open)
        self._end(*ending)

    def _end(self, *ending: socket.socket) -> None:
        with self._lock:
            self._open -= set(ending)
        for each in ending:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
