"""Write a stick for schools: public things once for all, and a sealed letter for each.

Rules, in order: nothing is begun for which the stick has no room; what schools need is written before what points at
it, the timestamp after all other metadata; what no release in force needs is removed; writing again after a cut goes on
with what is missing. Knows bytes and digests, and no school.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from federation.trust import stick_layout as layout
from federation.trust.release_bytes import index_digest, index_files_all
from federation.trust.stick_blobs import BlobReader, FilePart, blobs_remove, part_pieces, parts_missing, parts_of
from federation.trust.stick_disk import StickDisk
from federation.wire.canonical import canonical_bytes
from federation.wire.courier import STICK_FORMAT, STICK_VERSION, StickMark
from federation.wire.releases import FileEntry, ReleaseIndex, ReleaseKind

RESERVE_BYTES = 1024 * 1024
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedRelease:
    """A release on a stick: `files` are all of it, or those of the variants that the stick's schools are to have."""

    index: ReleaseIndex
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StickContent:
    """All that a stick for schools shall hold."""

    metadata: Sequence[tuple[str, bytes]]
    """TUF metadata by name, in the order in which it is safe to write it."""
    carried: Sequence[CarriedRelease]
    in_force: Sequence[ReleaseIndex]
    """Releases whose files stay where an earlier writing has left them."""
    letters: Mapping[str, bytes]
    """Sealed letters by their path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StickWritten:
    """What writing a stick came to."""

    letters: int
    releases: int
    bytes_written: int
    """Of releases; what the stick held whole was not written again."""


def stick_write(
    *,
    disk: StickDisk,
    content: StickContent,
    read: BlobReader,
    progress: Progress = lambda _done, _total: None,
) -> StickWritten:
    """Leave `content` on the stick; `read` has the files of releases.

    Raises:
        StickFull: there is no room; nothing was begun.
        StickUnknown, StickForbidden: it cannot be written.
        StickGone: it was pulled out; writing again goes on where it was.
    """
    parts = _parts_missing(disk, content, progress)
    part_bytes = sum(part.size_bytes for part in parts)
    small = _small_files(content)
    _room_check(disk, content, parts, small)
    disk.prepare()
    blobs_remove(disk=disk, keep=_wanted(content))
    done, total = 0, part_bytes + sum(len(held) for _path, held in small)
    for part in parts:
        disk.write(part.path, part_pieces(part, read))
        progress(done := done + part.size_bytes, total)
    for size_bytes in disk.write_each((path, [held]) for path, held in small):
        progress(done := done + size_bytes, total)
    _superseded_remove(disk, content)
    return StickWritten(letters=len(content.letters), releases=len(content.carried), bytes_written=part_bytes)


def stick_files(*, content: StickContent, read: BlobReader) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield path and bytes of every file of a whole stick, for another way of writing one."""
    yield layout.MARK, [canonical_bytes(StickMark(format=STICK_FORMAT, version=STICK_VERSION))]
    for entry in carried_files(content):
        for part in parts_of(entry):
            yield part.path, part_pieces(part, read)
    for path, held in _small_files(content):
        yield path, [held]


def carried_files(content: StickContent) -> list[FileEntry]:
    """Return each file that the stick shall hold, once."""
    return list({entry.sha256: entry for release in content.carried for entry in release.files}.values())


def _parts_missing(disk: StickDisk, content: StickContent, progress: Progress) -> list[FilePart]:
    entries = carried_files(content)
    total, done, missing = sum(entry.size_bytes for entry in entries), 0, []

    def looked_at(size_bytes: int) -> None:
        nonlocal done
        progress(done := done + size_bytes, total)

    for entry in entries:
        missing += parts_missing(disk=disk, entry=entry, looked_at=looked_at)
    return missing


def _small_files(content: StickContent) -> list[tuple[str, bytes]]:
    indexes = [(_index_path(index), canonical_bytes(index)) for index in _indexes(content)]
    metadata = [(f"{layout.METADATA}/{name}", held) for name, held in content.metadata]
    return [*indexes, *metadata, *content.letters.items()]


def _room_check(
    disk: StickDisk, content: StickContent, parts: Sequence[FilePart], small: Sequence[tuple[str, bytes]]
) -> None:
    """Count as if nothing could be written over, but for what is going to be removed."""
    needed = sum(layout.occupied_bytes(part.size_bytes) for part in parts)
    needed += sum(layout.occupied_bytes(len(held)) for path, held in small if disk.size_bytes(path) is None)
    disk.room_check(needed + RESERVE_BYTES - _removable_bytes(disk, content))


def _removable_bytes(disk: StickDisk, content: StickContent) -> int:
    keep, removable = _wanted(content), 0
    for fan in disk.names(layout.BLOBS):
        for name in disk.names(f"{layout.BLOBS}/{fan}"):
            if (layout.part_blob(name) or "") not in keep:
                removable += disk.size_bytes(f"{layout.BLOBS}/{fan}/{name}") or 0
    return removable


def _wanted(content: StickContent) -> set[str]:
    kept = {entry.sha256 for index in content.in_force for entry in index_files_all(index)}
    return kept | {entry.sha256 for entry in carried_files(content)}


def _indexes(content: StickContent) -> list[ReleaseIndex]:
    return [release.index for release in content.carried]


def _superseded_remove(disk: StickDisk, content: StickContent) -> None:
    metadata = {name for name, _held in content.metadata}
    for name in disk.names(layout.METADATA):
        if name not in metadata:
            disk.remove(f"{layout.METADATA}/{name}")
    indexes = {_index_path(index) for index in (*_indexes(content), *content.in_force)}
    for folder in (layout.TARGETS, layout.PROGRAM_TARGETS):
        for name in disk.names(folder):
            if f"{folder}/{name}" not in indexes:
                disk.remove(f"{folder}/{name}")


def _index_path(index: ReleaseIndex) -> str:
    is_program = index.kind is ReleaseKind.PROGRAM
    return (layout.program_index_path if is_program else layout.index_path)(index_digest(index))
