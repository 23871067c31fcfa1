"""The engine process: one loaded release behind a Unix socket, one answer at a time, each client in its turn.

It watches `state.json` and follows it between two answers. It knows no conversation and keeps no words.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from django.db import close_old_connections

from federation.errors import FederationError
from federation.inference.prompt import Role, Turn
from node.chat.engine_events import (
    MAX_LINE_BYTES,
    AnswerFailed,
    EngineEvent,
    EngineOp,
    EngineRequest,
    EventKind,
    NoReleaseInstalled,
    ReleaseNotLoaded,
    line_of,
    request_read,
)
from node.chat.serving import Served, Serving
from node.chat.turnstile import Turnstile
from node.installed.state import STATE_NAME

WATCH_SECONDS = 0.5
MAX_TOKENS = 1024
OWN_TURN = "engine"
_log = logging.getLogger(__name__)


class EngineServer:
    """Serves until `stopping` is set."""

    def __init__(
        self, *, root: Path, socket_path: Path, clock: Callable[[], datetime], stopping: threading.Event
    ) -> None:
        """Prepare; nothing is loaded and nobody is heard yet."""
        self._state = root / STATE_NAME
        self._socket_path = socket_path
        self._stopping = stopping
        self._serving = Serving(root=root, clock=clock)
        self._turnstile = Turnstile()
        self._generations: dict[str, threading.Event] = {}

    def serve(self) -> None:
        """Answer until told to stop; the socket's file is gone then."""
        with self._listening() as listener:
            threading.Thread(target=self._watch, daemon=True, name="watch").start()
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _address = listener.accept()
                    threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

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
            listener.settimeout(WATCH_SECONDS)
            try:
                yield listener
            finally:
                self._socket_path.unlink(missing_ok=True)

    def _watch(self) -> None:
        """Follow the state file for as long as the process lives; the first look loads the release."""
        seen: int | None = -1
        while not self._stopping.is_set():
            stamp = self._state.stat().st_mtime_ns if self._state.exists() else None
            if stamp != seen:
                try:
                    with self._turnstile.turn(OWN_TURN):
                        self._serving.follow()
                except Exception:
                    # Nobody would follow the state file any more: end, and let the supervisor start a whole engine.
                    self._stopping.set()
                    raise
                close_old_connections()
                # Following may write the file itself, so what is remembered is how it stood before.
                seen = stamp
            self._stopping.wait(WATCH_SECONDS)

    def _converse(self, connection: socket.socket) -> None:
        # A client that left, in whatever way, needs no answer.
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            try:
                self._answer(request_read(lines.readline(MAX_LINE_BYTES)), connection)
            except FederationError as error:
                fields = {name: str(value) for name, value in error.fields.items()}
                _send(connection, EngineEvent(kind=EventKind.ERROR, code=error.code, fields=fields))
            except RuntimeError as error:
                # The inference library raises these bare; one question must not end the answers of the others.
                _log.exception("a question broke the engine")
                _send(
                    connection,
                    EngineEvent(kind=EventKind.ERROR, code=AnswerFailed.code, fields={"problem": str(error)}),
                )

    def _answer(self, request: EngineRequest, connection: socket.socket) -> None:
        if request.op is EngineOp.GENERATE:
            self._generate(request, connection)
        elif request.op is EngineOp.SCORE:
            self._score(request, connection)
        elif request.op is EngineOp.STOP:
            stopped = self._generations.get(request.generation)
            if stopped is not None:
                stopped.set()
            _send(connection, EngineEvent(kind=EventKind.DONE, is_stopped=stopped is not None))
        else:
            _send(connection, self._status())

    def _generate(self, request: EngineRequest, connection: socket.socket) -> None:
        stopped = threading.Event()
        self._generations[request.generation] = stopped

        def is_over() -> bool:
            return stopped.is_set() or self._stopping.is_set() or _has_left(connection)

        def tell_place(place: int) -> None:
            _send(connection, EngineEvent(kind=EventKind.QUEUED, place=place))

        try:
            with self._turnstile.turn(request.client, on_place=tell_place, is_cancelled=is_over) as has_turn:
                served = self._served()
                text = self._write(served, request, connection, is_over) if has_turn else ""
            _send(connection, _done(served, text=text, is_stopped=not has_turn or is_over()))
        finally:
            self._generations.pop(request.generation, None)

    def _write(
        self, served: Served, request: EngineRequest, connection: socket.socket, is_over: Callable[[], bool]
    ) -> str:
        text = ""
        most = min(request.max_tokens, MAX_TOKENS)
        for piece in served.engine.generate(_turns(request), max_new_tokens=most, stop=is_over):
            text += piece
            _send(connection, EngineEvent(kind=EventKind.PIECE, text=piece))
        return text.strip()

    def _score(self, request: EngineRequest, connection: socket.socket) -> None:
        with self._turnstile.turn(request.client):
            served = self._served()
            score = served.engine.logprob_per_token(_turns(request), request.answer)
        _send(connection, _done(served, logprob_per_token=score))

    def _served(self) -> Served:
        if self._serving.failure_code:
            raise ReleaseNotLoaded(reason=self._serving.failure_code)
        if self._serving.served is None:
            raise NoReleaseInstalled
        return self._serving.served

    def _status(self) -> EngineEvent:
        served, waiting = self._serving.served, self._turnstile.waiting()
        if served is None:
            return EngineEvent(kind=EventKind.DONE, code=self._serving.failure_code, waiting=waiting)
        return EngineEvent(kind=EventKind.DONE, release=served.digest, version=served.version, waiting=waiting)


def _turns(request: EngineRequest) -> list[Turn]:
    return [Turn(Role(message.role), message.text) for message in request.messages]


def _done(served: Served, *, text: str = "", is_stopped: bool = False, logprob_per_token: float = 0.0) -> EngineEvent:
    return EngineEvent(
        kind=EventKind.DONE,
        text=text,
        release=served.digest,
        version=served.version,
        is_stopped=is_stopped,
        logprob_per_token=logprob_per_token,
    )


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
