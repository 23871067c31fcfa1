"""Files of releases on a stick: cut into parts, written once, read as a blob source like any other.

A part that is there already is believed only when each of its chunks is what the index says, so that writing again
mends a stick and costs nothing where it is whole. Whoever reads verifies each chunk anyway (`federation.trust.fetch`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from federation.trust import stick_layout as layout
from federation.trust.errors import BlobUnavailable, LinkLost
from federation.trust.stick_disk import PIECE_BYTES, StickDisk
from federation.trust.stick_errors import StickGone
from federation.wire.canonical import sha256_hex
from federation.wire.releases import CHUNK_BYTES, FileEntry

BlobReader: TypeAlias = Callable[[str, int, int], Iterator[bytes]]
"""Yields of the blob with a SHA-256 the bytes from a start up to and not including an end."""


class StickBlobSource:
    """Blobs in parts on a stick."""

    def __init__(self, disk: StickDisk) -> None:
        self._disk = disk

    def read_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """Yield the range, part after part.

        Raises:
            BlobUnavailable: the stick holds no such bytes.
            LinkLost: the stick was pulled out.
        """
        end = start + length
        while start < end:
            part, offset = divmod(start, layout.PART_BYTES)
            wanted = min(PIECE_BYTES, end - start, layout.PART_BYTES - offset)
            try:
                piece = self._disk.read_range(layout.part_path(sha256, part), offset, wanted)
            except StickGone as error:
                raise LinkLost(sha256=sha256, problem=str(error.fields["problem"])) from error
            if not piece:
                raise BlobUnavailable(sha256=sha256, status=404 if piece is None else 416)
            start += len(piece)
            yield piece


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A part of a release's file: its place on the stick, and which bytes of which blob it is."""

    path: str
    sha256: str
    offset: int
    size_bytes: int


def parts_missing(
    *,
    disk: StickDisk,
    entry: FileEntry,
    looked_at: Callable[[int], None] = lambda _size_bytes: None,
) -> list[FilePart]:
    """Return the parts of the file `entry` that the stick lacks or holds otherwise.

    `looked_at` hears of the bytes of each part that was compared.
    """
    missing = []
    for part in parts_of(entry):
        if not _part_is_whole(disk, part, entry):
            missing.append(part)
        looked_at(part.size_bytes)
    return missing


def parts_of(entry: FileEntry) -> list[FilePart]:
    """Return all parts of the file `entry`."""
    return [
        FilePart(
            path=layout.part_path(entry.sha256, number),
            sha256=entry.sha256,
            offset=number * layout.PART_BYTES,
            size_bytes=size_bytes,
        )
        for number, size_bytes in enumerate(layout.part_sizes(entry.size_bytes))
    ]


def part_pieces(part: FilePart, read: BlobReader) -> Iterator[bytes]:
    """Yield the bytes of the part as `read` has them."""
    yield from read(part.sha256, part.offset, part.offset + part.size_bytes)


def blobs_remove(*, disk: StickDisk, keep: Collection[str]) -> int:
    """Leave no part of a file whose SHA-256 is not among `keep`; return how many were removed."""
    removed = 0
    for fan in disk.names(layout.BLOBS):
        for name in disk.names(f"{layout.BLOBS}/{fan}"):
            if (layout.part_blob(name) or "") not in keep:
                disk.remove(f"{layout.BLOBS}/{fan}/{name}")
                removed += 1
    return removed


def _part_is_whole(disk: StickDisk, part: FilePart, entry: FileEntry) -> bool:
    if disk.size_bytes(part.path) != part.size_bytes:
        return False
    first = part.offset // CHUNK_BYTES
    chunks = -(-part.size_bytes // CHUNK_BYTES)
    return all(
        sha256_hex(disk.read_range(part.path, number * CHUNK_BYTES, CHUNK_BYTES) or b"") == entry.chunks[first + number]
        for number in range(chunks)
    )
