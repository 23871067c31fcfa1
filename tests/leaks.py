"""Read every byte that leaves a school as whoever catches it could: unpacked, decoded, and searched for words."""

import base64
import binascii
import bz2
import json
import re
import zlib

import httpx

LONG_ENOUGH = 16


class ListeningTransport(httpx.BaseTransport):
    """Passes requests on to the network, and keeps everything that they said."""

    def __init__(self):
        self._inner = httpx.HTTPTransport()
        self.said = []

    def handle_request(self, request):
        self.said.append(f"{request.method} {request.url} {request.headers}".encode())
        self.said.append(request.read())
        return self._inner.handle_request(request)

    def close(self):
        self._inner.close()


def words_found(said, words):
    """Return those of `words` that any reading of the byte strings `said` holds."""
    readings = [reading.decode("utf-8", "ignore").casefold() for content in said for reading in _readings(content)]
    return {word for word in words if any(word.casefold() in reading for reading in readings)}


def _readings(content, depth=0):
    """Yield `content`, and what it is once decompressed, parsed as JSON or decoded from base64, over and over."""
    yield content
    if depth > 4:
        return
    for unpack in (bz2.decompress, zlib.decompress, lambda packed: zlib.decompress(packed, -15), _unescape):
        try:
            inner = unpack(content)
        except (OSError, ValueError, zlib.error):
            continue
        if inner and inner != content:
            yield from _readings(inner, depth + 1)
    for text in re.findall(rb"[A-Za-z0-9+/_-]{%d,}={0,2}" % LONG_ENOUGH, content):
        try:
            inner = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_" if set(b"-_") & set(text) else None)
        except binascii.Error:
            continue
        yield from _readings(inner, depth + 1)


def _unescape(content):
    return json.dumps(json.loads(content), ensure_ascii=False).encode()
