"""Answers that are never whole in memory, also under an asynchronous server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

PieceT = TypeVar("PieceT", bytes, str)


async def pieces_async(pieces: Iterator[PieceT]) -> AsyncIterator[PieceT]:
    """Yield the same pieces to an asynchronous server, which would gather a plain iterator whole in memory.

    All are taken in the request's own thread: a database's cursor belongs to the one that opened it.
    """
    take: Any = sync_to_async(next, thread_sensitive=True)
    while (piece := await take(pieces, None)) is not None:
        yield piece


def download_answer(
    request: HttpRequest, pieces: Iterator[PieceT], *, content_type: str, name: str
) -> StreamingHttpResponse:
    """Answer `pieces` as a file called `name`, as the server that runs takes them."""
    return StreamingHttpResponse(
        pieces_async(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
