"""The node's one HTTP client, which counts every byte of a body that crosses the link."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import cache

import httpx

from node.sync.tls import Pin, pinned_context

TIMEOUT = httpx.Timeout(60.0, connect=15.0)


class CountingTransport(httpx.BaseTransport):
    """Passes requests on and counts the bytes of their bodies and answers."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        """Count what goes through `inner`."""
        self._inner = inner
        self.bytes_up = 0
        self.bytes_down = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; the answer's bytes are counted as they are read."""
        self.bytes_up += int(request.headers.get("Content-Length", 0))
        answer = self._inner.handle_request(request)
        return httpx.Response(
            status_code=answer.status_code,
            headers=answer.headers,
            stream=_CountedStream(answer.stream, self),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class _CountedStream(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream | httpx.AsyncByteStream, counter: CountingTransport) -> None:
        if not isinstance(inner, httpx.SyncByteStream):
            raise TypeError("a blocking client needs a blocking stream")
        self._inner = inner
        self._counter = counter

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._inner:
            self._counter.bytes_down += len(piece)
            yield piece

    def close(self) -> None:
        self._inner.close()


def http_client(*, pin: Pin | None = None) -> tuple[httpx.Client, CountingTransport]:
    """Return a client for one contact with the centre, and its counter; with a `pin` it believes no other authority.

    Raises:
        AuthorityOutOfDate: what is pinned has ended.
    """
    context = pinned_context(pin) if pin else _public_context()
    transport = CountingTransport(httpx.HTTPTransport(retries=1, verify=context))
    return httpx.Client(transport=transport, timeout=TIMEOUT, headers={"User-Agent": "soro-node"}), transport


@cache
def _public_context() -> ssl.SSLContext:
    """Return what believes every public authority: reading them all costs a contact more than the rest of it."""
    return httpx.create_ssl_context()
