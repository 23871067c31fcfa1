"""Answer GET and HEAD for a blob, with what a download needs to resume after any cut.

A blob never changes under its name, so its SHA-256 is its strong ETag. One byte range is answered with 206; several in
one request are answered with the whole, as the RFC allows. Source: RFC 9110, §8.8.3, §13.1 and §14.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.core.handlers.asgi import ASGIRequest
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseNotFound,
    HttpResponseNotModified,
    StreamingHttpResponse,
)

PIECE_BYTES = 64 * 1024
ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
LONGEST_NUMBER = 18


@dataclass(frozen=True, slots=True)
class Window:
    """The bytes from `start` up to and not including `end`."""

    start: int
    end: int


class Unsatisfiable(ValueError):
    """The range begins behind the blob's last byte."""


def blob_response(request: HttpRequest, path: Path, sha256: str) -> HttpResponseBase:
    """Return the answer to `request` for the blob at `path` whose SHA-256 is `sha256`."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    etag = f'"{sha256}"'
    try:
        size_bytes = path.stat().st_size
        if _names(request.headers.get("If-None-Match", ""), etag):
            return _with_headers(HttpResponseNotModified(), etag)
        window = window_read(_range_header(request, etag), size_bytes)
        return _with_headers(_window_response(request, path, window, size_bytes), etag)
    except FileNotFoundError:
        return HttpResponseNotFound()
    except Unsatisfiable:
        return _with_headers(HttpResponse(status=416, headers={"Content-Range": f"bytes */{size_bytes}"}), etag)


def window_read(header: str, size_bytes: int) -> Window | None:
    """Return the window of a blob of `size_bytes` that the Range header asks for, or None for the whole.

    Raises:
        Unsatisfiable: it begins behind the last byte.
    """
    match = ONE_RANGE.fullmatch(header.strip())
    if match is None or any(len(number) > LONGEST_NUMBER for number in match.groups()):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        window = Window(max(size_bytes - int(last), 0), size_bytes)
    else:
        if last and int(last) < int(first):
            return None
        window = Window(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)
    if window.start >= window.end:
        raise Unsatisfiable(header)
    return window


def _range_header(request: HttpRequest, etag: str) -> str:
    if request.method != "GET":
        return ""
    condition = request.headers.get("If-Range")
    return request.headers.get("Range", "") if condition in (None, etag) else ""


def _window_response(request: HttpRequest, path: Path, window: Window | None, size_bytes: int) -> HttpResponseBase:
    shown = window or Window(0, size_bytes)
    headers = {"Content-Length": str(shown.end - shown.start)}
    if window is not None:
        headers["Content-Range"] = f"bytes {window.start}-{window.end - 1}/{size_bytes}"
    if request.method == "HEAD":
        return HttpResponse(headers=headers, content_type="application/octet-stream")
    # Django gathers a plain iterator whole in memory under ASGI, and cannot take an asynchronous one under WSGI.
    pieces = _pieces_async(path, shown) if isinstance(request, ASGIRequest) else _pieces(path, shown)
    return StreamingHttpResponse(
        pieces, status=200 if window is None else 206, headers=headers, content_type="application/octet-stream"
    )


def _pieces(path: Path, window: Window) -> Iterator[bytes]:
    length = window.end - window.start
    with path.open("rb") as stream:
        stream.seek(window.start)
        while length and (piece := stream.read(min(PIECE_BYTES, length))):
            length -= len(piece)
            yield piece


async def _pieces_async(path: Path, window: Window) -> AsyncIterator[bytes]:
    pieces = _pieces(path, window)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


def _with_headers(answer: HttpResponseBase, etag: str) -> HttpResponseBase:
    answer["ETag"] = etag
    answer["Accept-Ranges"] = "bytes"
    answer["Cache-Control"] = "private, max-age=31536000, immutable, no-transform"
    return answer


def _names(header: str, etag: str) -> bool:
    named = [name.strip().removeprefix("W/") for name in header.split(",")]
    return etag in named or "*" in named
