"""The list that an adapter brings along: which release each update of a school shipped in first (protocol §6.7).

A list is parts, one a release: its version and how many updates follow, four bytes each, the highest first; then the
first eight bytes of each update's SHA-256, ascending. The same updates are the same bytes, and a part is a chunk of its
own, so a school that has an earlier adapter fetches only the parts that are new to it. Eight bytes are enough to find
one's own updates by, and for nothing else: whatever is counted, settled or taken out goes by the whole SHA-256.
"""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from federation.wire.canonical import MalformedDocument

LIST_NAME = "contributions.bin"
CUT_BYTES = 8
_HEAD = struct.Struct(">II")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one release shipped."""

    version: int
    updates: tuple[str, ...]
    """SHA-256 of the updates that shipped first in it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part begins in a list, and where its cut digests are."""

    begins: int
    version: int
    start: int
    count: int


def list_write(parts: Iterable[Part]) -> bytes:
    """Return the list of `parts`."""
    return b"".join(_written(part) for part in parts)


def part_starts(content: bytes) -> tuple[int, ...]:
    """Return where the parts of a list begin, but for the first byte: what FileEntry calls its tensors.

    Raises:
        MalformedDocument: it is no list.
    """
    return tuple(place.begins for place in _places(content) if place.begins)


def versions_find(content: bytes, updates: Collection[str]) -> dict[str, int]:
    """Return, of the `updates` (SHA-256) that are in the list, the lowest version of a release that shipped them.

    Raises:
        MalformedDocument: it is no list.
    """
    found: dict[str, int] = {}
    for place, update in itertools.product(_places(content), updates):
        if _is_in(content, place, _cut(update)):
            found[update] = min(place.version, found.get(update, place.version))
    return found


def _written(part: Part) -> bytes:
    cut = sorted(map(_cut, part.updates))
    return _HEAD.pack(part.version, len(cut)) + b"".join(cut)


def _cut(update: str) -> bytes:
    return bytes.fromhex(update)[:CUT_BYTES]


def _places(content: bytes) -> Iterator[_Place]:
    begins = 0
    while begins < len(content):
        start = begins + _HEAD.size
        if start > len(content):
            raise MalformedDocument(document="contributions", field=str(begins), problem="cut short")
        version, count = _HEAD.unpack_from(content, begins)
        if start + count * CUT_BYTES > len(content):
            raise MalformedDocument(document="contributions", field=str(begins), problem="cut short")
        yield _Place(begins, version, start, count)
        begins = start + count * CUT_BYTES


def _is_in(content: bytes, place: _Place, wanted: bytes) -> bool:
    def cut(number: int) -> bytes:
        at = place.start + number * CUT_BYTES
        return content[at : at + CUT_BYTES]

    number = bisect.bisect_left(range(place.count), wanted, key=cut)
    return number < place.count and cut(number) == wanted
