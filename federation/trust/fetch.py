"""Bring a release's bytes onto this disk: resumable at the chunk, each chunk verified before it is kept.

Rules, in order:
1. Nothing is begun for which the disk has no room, and no step uses the last of it.
2. A file that another release on this disk already holds is taken from there.
3. Missing chunks are asked for in runs of at most 4 MiB, so that a slow round trip does not rule the speed.
4. A chunk is verified, written at its offset, flushed, and only then journalled: a power cut costs one chunk. A link
   that ends in the middle of a chunk costs nothing: its beginning is kept, and judged with the rest of the chunk.
5. A wrong chunk is asked for once more by itself, and then the source is not believed.
6. The release's directory appears whole, under its name, by one rename; until then there is none.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from federation.trust.blob_sources import BlobSource
from federation.trust.chunk_journal import ChunkBeginning, ChunkJournal, ChunkPlace
from federation.trust.durable import directory_flush, durable_rename, durable_write
from federation.trust.errors import ChunkMismatch, DiskFull, FetchStopped, LinkLost, ReleaseDamaged
from federation.trust.release_bytes import (
    INDEX_NAME,
    VARIANT_NAME,
    file_is_whole,
    index_digest,
    index_files,
    index_read,
    index_verify,
    installed_files,
    variant_read,
)
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import CHUNK_BYTES, FileEntry, ReleaseIndex

RUN_BYTES = 4 * 1024 * 1024
RESERVE_BYTES = 64 * 1024 * 1024
FLUSH_SECONDS = 1.0
WORTH_ANOTHER_TRY_BYTES = 1024
"""A link that brought less before it ended is left alone for a while; another request costs about as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Neighbouring missing chunks of one file: `first` to `last`, both included."""

    file: int
    first: int
    last: int


def disk_free_bytes(path: Path) -> int:
    """Return the bytes that an ordinary user may still write on the disk that holds `path` or would hold it."""
    existing = next(candidate for candidate in (path, *path.parents) if candidate.exists())
    return shutil.disk_usage(existing).free


def release_fetch(
    *,
    index: ReleaseIndex,
    variant: str = "",
    source: BlobSource,
    into: Path,
    partial: Path,
    reuse: Iterable[Path] = (),
    disk_free: Callable[[Path], int] = disk_free_bytes,
    reserve_bytes: int = RESERVE_BYTES,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Return `into`, which now holds all files of `index` and the index itself, every byte verified.

    Of a release of several variants only the files of `variant` are fetched. `partial` keeps what has come so far of it
    between calls, on the same disk as `into`. `reuse` names directories of other
    releases. `progress` hears bytes verified and bytes in all. `reserve_bytes` of the disk are never used.

    Raises:
        VariantUnknown: the release has no such variant; nothing is asked for.
        DiskFull: there is no room; a download that was not begun leaves nothing behind.
        ChunkMismatch: the source does not hold the release's bytes; what is verified is kept.
        LinkLost, BlobUnavailable: try later; what is verified is kept.
        FetchStopped: `should_stop` said so; what is verified is kept.
    """
    if _is_installed(into, index, variant):
        return into
    fetch = _Fetch(index, variant, source, partial, disk_free, reserve_bytes, progress, should_stop)
    try:
        fetch.prepare(reuse)
        fetch.complete()
        return fetch.install(into)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # A disk without a byte left endangers the database on it, which matters more than the download.
        shutil.rmtree(partial, ignore_errors=True)
        needed_bytes = files_size_bytes(index_files(index, variant))
        raise DiskFull(needed_bytes=needed_bytes, free_bytes=disk_free(partial)) from error


def files_size_bytes(files: Iterable[FileEntry]) -> int:
    """Return the bytes of all `files` together."""
    return sum(entry.size_bytes for entry in files)


class _Fetch:
    def __init__(
        self,
        index: ReleaseIndex,
        variant: str,
        source: BlobSource,
        partial: Path,
        disk_free: Callable[[Path], int],
        reserve_bytes: int,
        progress: Callable[[int, int], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._index = index
        self._variant = variant
        self._entries = index_files(index, variant)
        self._source = source
        self._partial = partial
        self._files = partial / "files"
        self._disk_free = disk_free
        self._reserve_bytes = reserve_bytes
        self._progress = progress
        self._should_stop = should_stop
        self._journal = ChunkJournal(partial / "journal")
        self._beginning = ChunkBeginning(partial / "beginning")

    def prepare(self, reuse: Iterable[Path]) -> None:
        """Make room and take over what this disk already holds."""
        held = _files_by_sha256(reuse)
        self._room_check(
            sum(
                self._size_bytes(ChunkPlace(number, chunk))
                for number, entry in enumerate(self._entries)
                if entry.sha256 not in held
                for chunk in self._missing(number)
            )
        )
        self._files.mkdir(parents=True, exist_ok=True)
        for number, entry in enumerate(self._entries):
            path = self._files / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry.sha256 in held and self._missing(number):
                self._take_over(number, held[entry.sha256])
            path.touch()
        self._report()

    def complete(self) -> None:
        """Fetch what is missing, until every file is whole."""
        for number, entry in enumerate(self._entries):
            self._file_fetch(number)
            if not file_is_whole(self._files / entry.path, entry):
                # The journal outlived bytes that the disk lost, or a file grew: begin this file again.
                self._journal.forget_file(number)
                # Unlinked, not emptied: another release may share its blocks.
                (self._files / entry.path).unlink()
                (self._files / entry.path).touch()
                self._file_fetch(number)
            if not file_is_whole(self._files / entry.path, entry):
                raise ReleaseDamaged(directory=str(self._files), path=entry.path)

    def install(self, into: Path) -> Path:
        """Give the directory its name."""
        durable_write(self._files / INDEX_NAME, canonical_bytes(self._index))
        if self._variant:
            durable_write(self._files / VARIANT_NAME, self._variant.encode())
        for directory in {(self._files / entry.path).parent for entry in self._entries}:
            directory_flush(directory)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(into, ignore_errors=True)
        durable_rename(self._files, into)
        shutil.rmtree(self._partial)
        return into

    def _file_fetch(self, number: int) -> None:
        """Fetch a file's missing chunks; a lost link is tried again at once as long as each try brings enough."""
        while missing := self._missing(number):
            held_bytes = self._held_bytes(number)
            try:
                for run in _runs(number, missing):
                    self._run_fetch(run)
            except LinkLost:
                if self._held_bytes(number) - held_bytes < WORTH_ANOTHER_TRY_BYTES:
                    raise

    def _held_bytes(self, number: int) -> int:
        """Return how many of a file's bytes need not be asked for again."""
        missing = self._missing(number)
        begun = len(self._begun(ChunkPlace(number, missing[0]))) if missing else 0
        return begun + sum(
            self._size_bytes(ChunkPlace(number, chunk))
            for chunk in range(len(self._entries[number].chunks))
            if ChunkPlace(number, chunk) in self._journal
        )

    def _run_fetch(self, run: _Run) -> None:
        entry = self._entries[run.file]
        self._room_check((run.last - run.first + 1) * CHUNK_BYTES)
        with (self._files / entry.path).open("r+b") as stream:
            keeper = _Keeper(stream.fileno(), self._journal, self._report)
            try:
                for place, content in self._chunks(run):
                    keeper.keep(place, self._verified(place, content))
            finally:
                keeper.flush()

    def _chunks(self, run: _Run) -> Iterator[tuple[ChunkPlace, bytes]]:
        """Yield each whole chunk of the run as it comes; the beginning of one that was cut is kept."""
        held = bytearray(self._begun(ChunkPlace(run.file, run.first)))
        start = run.first * CHUNK_BYTES + len(held)
        length = sum(self._size_bytes(ChunkPlace(run.file, chunk)) for chunk in range(run.first, run.last + 1))
        pieces = self._source.read_range(self._entries[run.file].sha256, start, length - len(held))
        chunk = run.first
        try:
            for piece in pieces:
                held += piece
                while chunk <= run.last and len(held) >= self._size_bytes(ChunkPlace(run.file, chunk)):
                    place = ChunkPlace(run.file, chunk)
                    size_bytes = self._size_bytes(place)
                    yield place, bytes(held[:size_bytes])
                    del held[:size_bytes]
                    chunk += 1
                if self._should_stop():
                    break
        except LinkLost:
            if chunk > run.last:
                return
            self._beginning.keep(ChunkPlace(run.file, chunk), bytes(held))
            raise
        if self._should_stop():
            self._beginning.keep(ChunkPlace(run.file, chunk), bytes(held))
            raise FetchStopped(release=index_digest(self._index))
        if chunk <= run.last:
            self._beginning.keep(ChunkPlace(run.file, chunk), bytes(held))
            raise LinkLost(sha256=self._entries[run.file].sha256, problem="short")

    def _begun(self, place: ChunkPlace) -> bytes:
        begun = self._beginning.of(place)
        # What a damaged disk makes of the note may be longer than the chunk.
        return begun if len(begun) < self._size_bytes(place) else b""

    def _verified(self, place: ChunkPlace, content: bytes) -> bytes:
        entry = self._entries[place.file]
        if _is_chunk(content, entry, place):
            return content
        again = self._once_more(place)
        if not _is_chunk(again, entry, place):
            raise ChunkMismatch(release=index_digest(self._index), path=entry.path, chunk=place.chunk)
        return again

    def _once_more(self, place: ChunkPlace) -> bytes:
        """Return a chunk asked for by itself; what came before a cut takes the place of the false beginning."""
        sha256, size_bytes = self._entries[place.file].sha256, self._size_bytes(place)
        came = bytearray()
        try:
            for piece in self._source.read_range(sha256, place.chunk * CHUNK_BYTES, size_bytes):
                came += piece
        except LinkLost:
            self._beginning.keep(place, bytes(came))
            raise
        if len(came) < size_bytes:
            self._beginning.keep(place, bytes(came))
            raise LinkLost(sha256=sha256, problem="short")
        return bytes(came)

    def _take_over(self, number: int, held: Path) -> None:
        """Take a file from another release on this disk; if it turns out damaged there, it is fetched after all."""
        entry = self._entries[number]
        path = self._files / entry.path
        if file_is_whole(held, entry):
            path.unlink(missing_ok=True)
            _link_or_copy(held, path)
            self._journal.add([ChunkPlace(number, chunk) for chunk in range(len(entry.chunks))])

    def _room_check(self, missing_bytes: int) -> None:
        needed_bytes, free_bytes = missing_bytes + self._reserve_bytes, self._disk_free(self._partial)
        if missing_bytes and free_bytes < needed_bytes:
            raise DiskFull(needed_bytes=needed_bytes, free_bytes=free_bytes)

    def _missing(self, number: int) -> list[int]:
        chunks = range(len(self._entries[number].chunks))
        return [chunk for chunk in chunks if ChunkPlace(number, chunk) not in self._journal]

    def _report(self) -> None:
        missing = sum(
            self._size_bytes(ChunkPlace(number, chunk))
            for number in range(len(self._entries))
            for chunk in self._missing(number)
        )
        total = files_size_bytes(self._entries)
        self._progress(total - missing, total)

    def _size_bytes(self, place: ChunkPlace) -> int:
        return min(CHUNK_BYTES, self._entries[place.file].size_bytes - place.chunk * CHUNK_BYTES)


class _Keeper:
    """Writes verified chunks at their offsets, and journals them in batches of about a second."""

    def __init__(self, handle: int, journal: ChunkJournal, report: Callable[[], None]) -> None:
        self._report = report
        self._handle = handle
        self._journal = journal
        self._unflushed: list[ChunkPlace] = []
        self._flushed_at = time.monotonic()

    def keep(self, place: ChunkPlace, content: bytes) -> None:
        os.pwrite(self._handle, content, place.chunk * CHUNK_BYTES)
        self._unflushed.append(place)
        if time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._unflushed:
            os.fsync(self._handle)
            self._journal.add(self._unflushed)
            self._unflushed = []
            self._report()
        self._flushed_at = time.monotonic()


def _is_installed(into: Path, index: ReleaseIndex, variant: str) -> bool:
    try:
        if index_digest(index_read(into)) != index_digest(index) or variant_read(into) != variant:
            return False
        index_verify(into, index)
    except ReleaseDamaged:
        return False
    return True


def _is_chunk(content: bytes, entry: FileEntry, place: ChunkPlace) -> bool:
    return hashlib.sha256(content).hexdigest() == entry.chunks[place.chunk]


def _link_or_copy(source: Path, target: Path) -> None:
    """Releases are never written to again, so that two may share a file's blocks, where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb") as stream:
            os.fsync(stream.fileno())


def _files_by_sha256(releases: Iterable[Path]) -> dict[str, Path]:
    held: dict[str, Path] = {}
    for release in releases:
        with contextlib.suppress(ReleaseDamaged):
            files = installed_files(release, index_read(release))
            held |= {entry.sha256: release / entry.path for entry in files}
    return held


def _runs(file: int, missing: list[int]) -> Iterator[_Run]:
    """Yield the missing chunks as runs of neighbours, each at most RUN_BYTES long."""
    first = last = missing[0]
    for chunk in missing[1:]:
        if chunk != last + 1 or chunk - first >= RUN_BYTES // CHUNK_BYTES:
            yield _Run(file=file, first=first, last=last)
            first = chunk
        last = chunk
    yield _Run(file=file, first=first, last=last)
