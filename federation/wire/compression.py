"""Make bodies short for a weak link, and lengthen them again under a hard bound.

What came compressed is from a stranger: no more is ever made of it than the reader asked for, whatever it would
become. Two codings, measured on teachers' ratings (decision 0030): `bzip2` for a batch of texts, `deflate` for a short
document.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from federation.errors import WireError

BZIP2 = "bzip2"
DEFLATE = "deflate"


class BodyTooLarge(WireError):
    """A request's body is longer than `limit_bytes`, or would be once inflated."""

    code = "body_too_large"


class BodyDamaged(WireError):
    """A request's body says that it is compressed and is not, or is cut."""

    code = "body_damaged"


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


_INFLATERS: Mapping[str, Callable[[], _Inflater]] = {BZIP2: bz2.BZ2Decompressor, DEFLATE: zlib.decompressobj}


def body_deflate(content: bytes, *, coding: str) -> bytes:
    """Return `content` in the coding `bzip2` or `deflate`."""
    return bz2.compress(content) if coding == BZIP2 else zlib.compress(content, 9)


def body_inflate(content: bytes, *, coding: str, limit_bytes: int) -> bytes:
    """Return what `content` stands for in the `coding`; an empty or unknown one leaves it as it is.

    Raises:
        BodyTooLarge: it is longer than `limit_bytes`; no more than that was inflated.
        BodyDamaged: it is not whole, or not in this coding.
    """
    if coding not in _INFLATERS:
        if len(content) > limit_bytes:
            raise BodyTooLarge(limit_bytes=limit_bytes)
        return content
    inflater = _INFLATERS[coding]()
    try:
        inflated = inflater.decompress(content, limit_bytes + 1)
    except (zlib.error, OSError, EOFError) as error:
        raise BodyDamaged from error
    if len(inflated) > limit_bytes:
        raise BodyTooLarge(limit_bytes=limit_bytes)
    if not inflater.eof or inflater.unused_data:
        raise BodyDamaged
    return inflated
