"""Answer GET and HEAD for a blob, with what a download needs to resume after any cut.

A blob never changes under its name, so its SHA-256 is its strong ETag. One byte range is answered with 206; several in
one request are answered with the whole, as the RFC allows: a node never asks so, and no list of small overlapping
ranges can cost more than the blob. Preconditions come in the RFC's order: If-Match, If-None-Match, then If-Range.
Source: RFC 9110, §8.8.3, §13.1, §13.2.2 and §14.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

from django.core.handlers.asgi import ASGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseNotModified,
    StreamingHttpResponse,
)

from central.releases.blob_store import BlobStore, Window

ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII | re.IGNORECASE)
LONGEST_NUMBER = 18
BYTES_TYPE = "application/octet-stream"


class Unsatisfiable(ValueError):
    """The range begins behind the blob's last byte."""


def blob_response(request: HttpRequest, store: BlobStore, sha256: str, *, accel: str = "") -> HttpResponseBase:
    """Return the answer to `request` for the blob of `store` whose SHA-256 is `sha256`.

    `accel` is the internal address under which a web server in front finds the same files, and then sends the bytes,
    ranges included, by itself. Source: nginx, X-Accel-Redirect.

    Raises:
        Http404: there is none.
    """
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    size_bytes = store.size_bytes(sha256)
    if size_bytes is None:
        raise Http404
    return _with_headers(_conditional_response(request, store, sha256, size_bytes, accel), f'"{sha256}"')


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
        if size_bytes == 0 and int(last) > 0:
            # The end of nothing is satisfiable, and no Content-Range can say so: the whole, which is empty.
            return None
        window = Window(max(size_bytes - int(last), 0), size_bytes)
    else:
        if last and int(last) < int(first):
            return None
        window = Window(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)
    if window.start >= window.end:
        raise Unsatisfiable(header)
    return window


def _conditional_response(
    request: HttpRequest, store: BlobStore, sha256: str, size_bytes: int, accel: str
) -> HttpResponseBase:
    etag = f'"{sha256}"'
    wanted = request.headers.get("If-Match")
    if wanted is not None and not _names(wanted, etag, is_weak_enough=False):
        return HttpResponse(status=412)
    if _names(request.headers.get("If-None-Match", ""), etag, is_weak_enough=True):
        return HttpResponseNotModified()
    if accel:
        return HttpResponse(headers={"X-Accel-Redirect": f"{accel}{sha256[:2]}/{sha256}"}, content_type=BYTES_TYPE)
    try:
        window = window_read(_range_header(request, etag), size_bytes)
    except Unsatisfiable:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size_bytes}"})
    return _window_response(request, store, sha256, window, size_bytes)


def _range_header(request: HttpRequest, etag: str) -> str:
    if request.method != "GET":
        return ""
    condition = request.headers.get("If-Range")
    return request.headers.get("Range", "") if condition in (None, etag) else ""


def _window_response(
    request: HttpRequest, store: BlobStore, sha256: str, window: Window | None, size_bytes: int
) -> HttpResponseBase:
    shown = window or Window(0, size_bytes)
    headers = {"Content-Length": str(shown.end - shown.start)}
    if window is not None:
        headers["Content-Range"] = f"bytes {window.start}-{window.end - 1}/{size_bytes}"
    if request.method == "HEAD":
        return HttpResponse(headers=headers, content_type=BYTES_TYPE)
    pieces = store.pieces(sha256, shown)
    # Django gathers a plain iterator whole in memory under ASGI, and cannot take an asynchronous one under WSGI.
    return StreamingHttpResponse(
        _pieces_async(pieces) if isinstance(request, ASGIRequest) else pieces,
        status=200 if window is None else 206,
        headers=headers,
        content_type=BYTES_TYPE,
    )


async def _pieces_async(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


def _with_headers(answer: HttpResponseBase, etag: str) -> HttpResponseBase:
    answer["ETag"] = etag
    answer["Accept-Ranges"] = "bytes"
    answer["Cache-Control"] = "private, max-age=31536000, immutable, no-transform"
    return answer


def _names(header: str, etag: str, *, is_weak_enough: bool) -> bool:
    """Tell whether the list of entity tags holds `etag`, compared weakly or strongly."""
    named = [name.strip() for name in header.split(",")]
    if is_weak_enough:
        named = [name.removeprefix("W/") for name in named]
    return etag in named or "*" in named
