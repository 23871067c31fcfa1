"""A door in front of a server that speaks any protocol over TCP: shut, it cuts who is inside and lets nobody in."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.stations import free_port

PIECE_BYTES = 16 * 1024


class TcpDoor:
    """Passes bytes on between its own `port` and the server at `target`, while it is open."""

    def __init__(self, target: tuple[str, int]) -> None:
        """Open."""
        self.port = free_port()
        self.shuts_after_bytes: int | None = None
        """So many bytes more from the server, and it falls shut in the middle of what the server says."""
        self._target = target
        self._inside: list[socket.socket] = []
        self._lock = threading.Lock()
        self.open()

    def open(self) -> None:
        """Let in whoever calls."""
        self.shuts_after_bytes = None
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections, and end those that there are."""
        with self._lock:
            for each in (self._listener, *self._inside):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._inside.clear()

    def _listen(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    self._inside += [caller, server]
                threading.Thread(target=self._pass_on, args=(caller, server, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, caller, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                if is_answer and self.shuts_after_bytes is not None:
                    self.shuts_after_bytes -= len(piece)
                    if self.shuts_after_bytes < 0:
                        self.shut()
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
