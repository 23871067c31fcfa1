"""The engine process: one loaded release behind a Unix socket, and as many answers at once as its rows.

It follows `state.json` between answers (`node.chat.scheduler`). It knows no conversation and keeps no words.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from federation.errors import FederationError
from node.chat.engine_events import (
    MAX_LINE_BYTES,
    EngineEvent,
    EngineOp,
    EngineRequest,
    EventKind,
    line_of,
    request_read,
)
from node.chat.scheduler import Scheduler
from node.chat.serving import Serving

_ACCEPT_SECONDS = 0.5
_LOOK_SECONDS = 0.2


class EngineServer:
    """Serves until `stopping` is set."""

    def __init__(
        self, *, root: Path, socket_path: Path, clock: Callable[[], datetime], stopping: threading.Event
    ) -> None:
        """Prepare; nothing is loaded and nobody is heard yet."""
        self._socket_path = socket_path
        self._stopping = stopping
        self._serving = Serving(root=root, clock=clock)
        self._scheduler = Scheduler(serving=self._serving, stopping=stopping)

    def serve(self) -> None:
        """Answer until told to stop; the socket's file is gone then."""
        with self._listening() as listener:
            worker = threading.Thread(target=self._scheduler.work, name="scheduler")
            worker.start()
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _address = listener.accept()
                    threading.Thread(target=self._converse, args=(connection,), daemon=True).start()
            worker.join()

    @contextlib.contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        self._socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            before = os.umask(0o177)
            try:
                listener.bind(str(self._socket_path))
            finally:
                os.umask(before)
            listener.listen(64)
            listener.settimeout(_ACCEPT_SECONDS)
            try:
                yield listener
            finally:
                self._socket_path.unlink(missing_ok=True)

    def _converse(self, connection: socket.socket) -> None:
        # A client that left, in whatever way, needs no answer.
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            try:
                self._answer(request_read(lines.readline(MAX_LINE_BYTES)), connection)
            except FederationError as error:
                fields = {name: str(value) for name, value in error.fields.items()}
                _send(connection, EngineEvent(kind=EventKind.ERROR, code=error.code, fields=fields))

    def _answer(self, request: EngineRequest, connection: socket.socket) -> None:
        if request.op is EngineOp.STOP:
            is_stopped = self._scheduler.stop(request.generation)
            _send(connection, EngineEvent(kind=EventKind.DONE, is_stopped=is_stopped))
        elif request.op is EngineOp.STATUS:
            _send(connection, self._status())
        else:
            self._relay(request, connection)

    def _relay(self, request: EngineRequest, connection: socket.socket) -> None:
        """Send the events of `request` as they come, and end it when the client leaves."""
        ticket = self._scheduler.submit(request)
        try:
            is_open = True
            while is_open and not _has_left(connection):
                # A silence is a look whether the client is still there.
                with contextlib.suppress(queue.Empty):
                    event = ticket.events.get(timeout=_LOOK_SECONDS)
                    _send(connection, event)
                    is_open = not event.is_last
        finally:
            self._scheduler.cancel(ticket)

    def _status(self) -> EngineEvent:
        served, load = self._serving.served, self._scheduler.load()
        status = EngineEvent(
            kind=EventKind.DONE,
            waiting=load.waiting,
            answering=load.answering,
            idle_seconds=load.idle_seconds,
        )
        if served is None:
            return replace(status, code=self._serving.failure_code)
        return replace(status, release=served.digest, version=served.version)


def _send(connection: socket.socket, event: EngineEvent) -> None:
    connection.sendall(line_of(event))


def _has_left(connection: socket.socket) -> bool:
    """Return whether the client closed its end; it sends nothing after its request, so bytes or silence mean no."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
