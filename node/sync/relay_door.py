"""The door for the school's other PCs: an ASGI application of four addresses that all only read (protocol §3.12).

GET /holdings/<release>, /blobs/<sha256> with one Range of at most 4 MiB, /tuf/metadata/<name> and
/tuf/targets/releases/<sha256>.<release>.json. No session, no database, no other method. The bytes of all askers
together keep to one pace, and an asker who finds too many before it is told to come later.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from federation.trust.chunk_store import RUN_BYTES
from federation.wire.canonical import canonical_bytes
from node.sync.shelf import Piece, Shelf
from node.sync.token_bucket import TokenBucket

Message: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

BYTES_A_SECOND = 12_000_000
"""About a 100 Mbit/s network card; the disk and the page's answers keep the rest."""
MOST_AT_ONCE = 16
PIECE_BYTES = 64 * 1024
REQUEST_COST_BYTES = 4096
_DIGEST = "([0-9a-f]{64})"
_HOLDINGS = re.compile(f"/holdings/{_DIGEST}")
_BLOB = re.compile(f"/blobs/{_DIGEST}")
_METADATA = re.compile(r"/tuf/metadata/([a-z0-9.]{1,40})", re.ASCII)
_INDEX = re.compile(f"/tuf/targets/releases/{_DIGEST}\\.{_DIGEST}\\.json")
_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{1,15})", re.ASCII)


class RelayDoor:
    """The ASGI application over a shelf."""

    def __init__(self, shelf: Shelf, *, bytes_a_second: float = BYTES_A_SECOND) -> None:
        """Give at most `bytes_a_second` to all askers together."""
        self._shelf = shelf
        self._bucket = TokenBucket(bytes_a_second=bytes_a_second, burst_bytes=bytes_a_second, now=time.monotonic())
        self._at_once = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        if scope["type"] != "http":
            return
        if scope["method"] != "GET":
            await _answer(send, 405)
        elif self._at_once >= MOST_AT_ONCE:
            await _answer(send, 503)
        else:
            self._at_once += 1
            try:
                await self._pace(REQUEST_COST_BYTES)
                await self._route(scope, send)
            finally:
                self._at_once -= 1

    async def _route(self, scope: Message, send: Send) -> None:
        path = scope["path"]
        if match := _BLOB.fullmatch(path):
            await self._blob(match[1], _range(scope), send)
            return
        content = await asyncio.to_thread(self._document, path)
        await _answer(send, 200 if content is not None else 404, content or b"")

    def _document(self, path: str) -> bytes | None:
        if match := _HOLDINGS.fullmatch(path):
            holdings = self._shelf.holdings(match[1])
            return canonical_bytes(holdings) if holdings else None
        if match := _METADATA.fullmatch(path):
            return self._shelf.metadata(match[1])
        match = _INDEX.fullmatch(path)
        return self._shelf.index(match[2]) if match and match[1] == match[2] else None

    async def _blob(self, sha256: str, asked: tuple[int, int] | None, send: Send) -> None:
        if asked is None:
            await _answer(send, 416)
            return
        start, last = asked
        pieces = await asyncio.to_thread(self._shelf.blob_pieces, sha256, start, last - start + 1)
        if not pieces:
            await _answer(send, 404)
            return
        headers = [
            (b"content-length", str(last - start + 1).encode()),
            (b"content-range", f"bytes {start}-{last}/*".encode()),
        ]
        await send({"type": "http.response.start", "status": 206, "headers": headers})
        for piece in pieces:
            await self._send_piece(piece, send)
        await send({"type": "http.response.body", "body": b""})

    async def _send_piece(self, piece: Piece, send: Send) -> None:
        handle = await asyncio.to_thread(os.open, piece.path, os.O_RDONLY)
        try:
            for start in range(piece.start, piece.start + piece.length, PIECE_BYTES):
                size = min(PIECE_BYTES, piece.start + piece.length - start)
                await self._pace(size)
                content = await asyncio.to_thread(os.pread, handle, size, start)
                await send({"type": "http.response.body", "body": content, "more_body": True})
        finally:
            os.close(handle)

    async def _pace(self, size_bytes: int) -> None:
        await asyncio.sleep(self._bucket.take(size_bytes, now=time.monotonic()))


def _range(scope: Message) -> tuple[int, int] | None:
    """Return first and last byte of the one range that is asked for, or None where it is none or too long."""
    asked = dict(scope["headers"]).get(b"range", b"").decode("latin-1")
    match = _RANGE.fullmatch(asked)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    return (first, last) if first <= last < first + RUN_BYTES else None


async def _answer(send: Send, status: int, content: bytes = b"") -> None:
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
