"""Where blobs come from: the centre over HTTP, or a directory such as a USB stick; one interface for both.

A source promises nothing about the bytes. Whoever reads verifies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx

from federation.trust.errors import BlobUnavailable, LinkLost

PIECE_BYTES = 64 * 1024


class BlobSource(Protocol):
    """Something that holds blobs by the SHA-256 of the whole."""

    def read_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """Yield the bytes from `start` on in pieces of any size: `length` of them, never more; fewer at a link's end.

        Raises:
            BlobUnavailable: the source has no such bytes now.
            LinkLost: the link ended.
        """


class HttpBlobSource:
    """Blobs of the centre at `base_url`; the client carries the session token."""

    def __init__(self, *, client: httpx.Client, base_url: str, extensions: Mapping[str, Any] | None = None) -> None:
        """Ask `client`; `extensions` go with each request (httpx's word for what is not HTTP)."""
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._extensions = dict(extensions or {})

    def read_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """Yield the range by one request. Source: RFC 9110, §14.2.

        Without If-Range: a blob never changes under its name, and nginx, which sends the bytes in production, has
        entity tags of its own and would answer with the whole.

        Raises:
            BlobUnavailable: the centre answered with something else than the range; carries the HTTP status.
            LinkLost: the link ended.
        """
        headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
        try:
            url = f"{self._base_url}/blobs/{sha256}"
            with self._client.stream("GET", url, headers=headers, extensions=self._extensions) as answer:
                expected = f"bytes {start}-{start + length - 1}/"
                if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                    raise BlobUnavailable(sha256=sha256, status=answer.status_code)
                if not answer.headers.get("Content-Range", "").startswith(expected):
                    raise BlobUnavailable(sha256=sha256, status=answer.status_code)
                yield from _at_most(answer.iter_raw(), length)
        except httpx.HTTPError as error:
            raise LinkLost(sha256=sha256, problem=type(error).__name__) from error


def _at_most(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    """Yield `pieces` up to `length` bytes; a server that would go on for ever is left there."""
    for piece in pieces:
        if not length:
            return
        yield piece[:length]
        length -= min(length, len(piece))


class DirectoryBlobSource:
    """Blobs laid out as `<first two digits>/<sha256>` under a directory, as the centre keeps them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """Yield the range from the file.

        Raises:
            BlobUnavailable: there is no such file, or it is shorter.
            LinkLost: it cannot be read; the stick may have been pulled out.
        """
        path = self._directory / sha256[:2] / sha256
        try:
            with path.open("rb") as stream:
                stream.seek(start)
                while length:
                    piece = stream.read(min(PIECE_BYTES, length))
                    if not piece:
                        raise BlobUnavailable(sha256=sha256, status=416)
                    length -= len(piece)
                    yield piece
        except FileNotFoundError as error:
            raise BlobUnavailable(sha256=sha256, status=404) from error
        except OSError as error:
            raise LinkLost(sha256=sha256, problem=type(error).__name__) from error
