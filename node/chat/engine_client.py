"""Ask the engine process: streaming for the page, blocking for the command line.

Every failure is one of the typed errors in engine_events, so that a door has a page or a sentence for it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from node.chat.engine_events import (
    MAX_LINE_BYTES,
    EngineEvent,
    EngineOp,
    EngineRequest,
    EngineUnavailable,
    event_read,
    line_of,
)


async def engine_stream(*, socket_path: Path, request: EngineRequest) -> AsyncGenerator[EngineEvent, None]:
    """Yield the engine's events up to the last; leaving the loop early closes the connection, which stops the engine.

    Raises:
        EngineUnavailable, NoReleaseInstalled, AnswerFailed: see engine_events.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path, limit=MAX_LINE_BYTES)
    except OSError as error:
        raise EngineUnavailable(reason="no_connection") from error
    try:
        writer.write(line_of(request))
        is_open = True
        while is_open:
            event = event_read(await _line(reader))
            is_open = not event.is_last
            yield event
    finally:
        writer.close()


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except (OSError, ValueError) as error:
        raise EngineUnavailable(reason="connection_lost") from error


def engine_ask(*, socket_path: Path, request: EngineRequest, timeout_seconds: float) -> EngineEvent:
    """Return the engine's last event.

    Raises:
        EngineUnavailable, NoReleaseInstalled, AnswerFailed: see engine_events.
    """
    *_, last = _events(socket_path, request, timeout_seconds)
    return last


def engine_status(*, socket_path: Path, timeout_seconds: float = 2.0) -> EngineEvent | None:
    """Return what the engine holds (no release: nothing, and the code that says why), or None when none answers."""
    request = EngineRequest(op=EngineOp.STATUS)
    try:
        return engine_ask(socket_path=socket_path, request=request, timeout_seconds=timeout_seconds)
    except EngineUnavailable:
        return None


def _events(socket_path: Path, request: EngineRequest, timeout_seconds: float) -> Iterator[EngineEvent]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_seconds)
            connection.connect(str(socket_path))
            connection.sendall(line_of(request))
            with connection.makefile("rb") as lines:
                is_open = True
                while is_open:
                    event = event_read(lines.readline(MAX_LINE_BYTES))
                    is_open = not event.is_last
                    yield event
    except OSError as error:
        raise EngineUnavailable(reason="no_connection") from error
