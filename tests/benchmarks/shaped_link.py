"""A link such as a school's, on loopback: so many bits a second for all connections together, latency, and cuts.

Time is compressed: the link is `speed_up` times as fast and its latency as much shorter, and whoever measures
multiplies the seconds again. What the programs themselves take is multiplied too, so that the figures flatter nobody.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

PIECE_BYTES = 8192


class ShapedLink:
    """A TCP proxy before the server at `port`; use it as a context manager."""

    def __init__(
        self, port: int, *, kbit_s: float, latency_seconds: float, speed_up: float, drop_every_bytes: int = 0
    ) -> None:
        """Answers share `kbit_s`; every `drop_every_bytes` of them all connections end."""
        self._target = ("127.0.0.1", port)
        self._bytes_a_second = kbit_s * 1000 / 8 * speed_up
        self._latency_seconds = latency_seconds / speed_up
        self._drop_every_bytes = drop_every_bytes
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._open: set[socket.socket] = set()
        self.bytes_down = 0
        self.drops = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        self._end_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            # A small buffer: what waits in it has not crossed the link.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * PIECE_BYTES)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(PIECE_BYTES):
                # The whole round trip is charged to the question.
                time.sleep(self._latency_seconds)
                server.sendall(piece)
        self._end(client, server)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(PIECE_BYTES):
                time.sleep(max(0.0, self._turn(len(piece)) - time.monotonic()))
                client.sendall(piece)
                if self._is_drop(len(piece)):
                    self._end_all()
        self._end(client, server)

    def _turn(self, size_bytes: int) -> float:
        """Return when these bytes have crossed: after all those that were before them."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size_bytes / self._bytes_a_second
            return self._free_at

    def _is_drop(self, size_bytes: int) -> bool:
        with self._lock:
            before = self.bytes_down
            self.bytes_down += size_bytes
            every = self._drop_every_bytes
            is_drop = bool(every) and before // every != self.bytes_down // every
            self.drops += is_drop
            return is_drop

    def _end_all(self) -> None:
        with self._lock:
            ending, self._open = self._open, set()
        for each in ending:
            _shut(each)

    def _end(self, *ending: socket.socket) -> None:
        with self._lock:
            self._open -= set(ending)
        for each in ending:
            _shut(each)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
