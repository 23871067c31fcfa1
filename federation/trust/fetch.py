"""Bring a release's bytes onto this disk: resumable at the chunk, each chunk verified before it is kept.

Rules, in order:
1. Nothing is begun for which the disk has no room, and no step uses the last of it.
2. A file, or a chunk anywhere in a file, that this disk already holds is taken from there.
3. A chunk that another PC of the school has is taken from it; the centre gives what none of them has.
4. Of what is left, a chunk for which there is a patch of a release here is made by it, where that works.
5. Missing chunks are asked for in runs of at most 4 MiB, so that a slow round trip does not rule the speed. Beside
   peers the runs are shorter and taken by chance, so that several PCs fetch different ones and give them to each other.
6. A wrong chunk is asked of the centre once more by itself, and then the centre is not believed.
7. The release's directory appears whole, under its name, by one rename; until then there is none.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from federation.trust.blob_sources import BlobSource
from federation.trust.chunk_journal import ChunkPlace
from federation.trust.chunk_store import ChunkMap, ChunkStore, Run
from federation.trust.durable import directory_flush, durable_rename, durable_write
from federation.trust.errors import BlobUnavailable, ChunkMismatch, DiskFull, LinkLost, ReleaseDamaged
from federation.trust.held_chunks import HeldChunk, chunks_held, files_held
from federation.trust.patches import Patches
from federation.trust.peers import Peer, PeerPool
from federation.trust.release_bytes import (
    INDEX_NAME,
    VARIANT_NAME,
    file_is_whole,
    file_numbers,
    files_all,
    index_digest,
    index_files,
    index_read,
    index_verify,
    variant_read,
)
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import FileEntry, ReleaseIndex

RESERVE_BYTES = 64 * 1024 * 1024
RUN_BESIDE_PEERS_BYTES = 1024 * 1024


def disk_free_bytes(path: Path) -> int:
    """Return the bytes that an ordinary user may still write on the disk that holds `path` or would hold it."""
    existing = next(candidate for candidate in (path, *path.parents) if candidate.exists())
    return shutil.disk_usage(existing).free


def nobody() -> Sequence[Peer]:
    """Return no peers."""
    return ()


def release_fetch(
    *,
    index: ReleaseIndex,
    variant: str = "",
    source: BlobSource,
    into: Path,
    partial: Path,
    reuse: Iterable[Path] = (),
    peers: Callable[[], Sequence[Peer]] = nobody,
    disk_free: Callable[[Path], int] = disk_free_bytes,
    reserve_bytes: int = RESERVE_BYTES,
    rng: random.Random | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Return `into`, which now holds all files of `index` and the index itself, every byte verified.

    Of a release of several variants only the files of `variant` are fetched. `partial` keeps what has come so far of
    them between calls, on the same disk as `into`, whatever it came from. `reuse` names directories of other releases
    and of their downloads. `peers` gives the other PCs at hand. `progress` hears bytes verified and bytes in all.
    `reserve_bytes` of the disk are never used.

    Raises:
        VariantUnknown: the release has no such variant; nothing is asked for.
        DiskFull: there is no room; a download that was not begun leaves nothing behind.
        ChunkMismatch: the source does not hold the release's bytes; what is verified is kept.
        LinkLost, BlobUnavailable: try later; what is verified is kept.
        FetchStopped: `should_stop` said so; what is verified is kept.
    """
    if _is_installed(into, index, variant):
        return into
    fetch = _Fetch(
        index,
        variant,
        source,
        partial,
        peers,
        disk_free,
        reserve_bytes,
        rng or random.SystemRandom(),
        progress,
        should_stop,
    )
    try:
        fetch.prepare([path for path in reuse if path != partial])
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
        peers: Callable[[], Sequence[Peer]],
        disk_free: Callable[[Path], int],
        reserve_bytes: int,
        rng: random.Random,
        progress: Callable[[int, int], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._index = index
        self._variant = variant
        self._numbers = file_numbers(index, variant)
        self._source = source
        self._partial = partial
        self._disk_free = disk_free
        self._reserve_bytes = reserve_bytes
        self._rng = rng
        self._progress = progress
        self._chunks = ChunkMap(index_digest(index), files_all(index))
        self._store = ChunkStore(self._chunks, self._numbers, partial, self._report, should_stop)
        self._patches = Patches()
        self._pool = PeerPool(chunks=self._chunks, peers=peers, rng=rng)

    def prepare(self, reuse: Sequence[Path]) -> None:
        """Make room and take over what this disk already holds."""
        files = files_held(reuse)
        to_link = {number for number in self._numbers if self._entry(number).sha256 in files}
        missing = [place for place in self._store.missing() if place.file not in to_link]
        self._room_check(sum(self._chunks.size_bytes(place) for place in missing))
        self._store.files.mkdir(parents=True, exist_ok=True)
        # Whatever this PC fetches next, and whoever asks it for chunks, knows by it what lies here.
        durable_write(self._partial / INDEX_NAME, canonical_bytes(self._index))
        incomplete = {place.file for place in self._store.missing()}
        for number in self._numbers:
            path = self._store.path(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            if number in to_link & incomplete:
                self._file_take_over(number, files[self._entry(number).sha256])
            path.touch()
        self._chunks_take_over(reuse)
        self._patches = Patches.found(self._index, self._chunks, reuse)
        self._report()

    def complete(self) -> None:
        """Fetch what is missing, until every file is whole."""
        self._fetch_missing()
        for number in self._numbers:
            if not self._store.file_is_whole(number):
                # The journal outlived bytes that the disk lost, or a file grew: begin this file again.
                self._store.file_forget(number)
                self._fetch_missing()
            if not self._store.file_is_whole(number):
                raise ReleaseDamaged(directory=str(self._store.files), path=self._entry(number).path)

    def install(self, into: Path) -> Path:
        """Give the directory its name."""
        durable_write(self._store.files / INDEX_NAME, canonical_bytes(self._index))
        if self._variant:
            durable_write(self._store.files / VARIANT_NAME, self._variant.encode())
        for directory in {self._store.path(number).parent for number in self._numbers}:
            directory_flush(directory)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(into, ignore_errors=True)
        durable_rename(self._store.files, into)
        shutil.rmtree(self._partial)
        return into

    def _fetch_missing(self) -> None:
        while missing := self._store.missing():
            self._pool.look()
            if self._pool.is_alone:
                run = next(self._chunks.runs(missing))
                with self._store.claimed(run):
                    self._from_source(run)
                continue
            offer = self._pool.offer(missing)
            if offer is not None:
                self._from_peer(*offer)
            else:
                self._beside_peers(missing)

    def _from_peer(self, peer: Peer, run: Run) -> None:
        self._room_check(self._chunks.run_bytes(run))
        try:
            self._store.receive(run, peer)
            self._pool.progressed()
        except (ChunkMismatch, LinkLost, BlobUnavailable) as error:
            self._pool.drop(peer, error)

    def _beside_peers(self, missing: list[ChunkPlace]) -> None:
        """Fetch of the source what no peer fetches, or wait for the peers."""
        others = self._pool.fetched_by_others()
        free = [place for place in missing if place not in others]
        if not free:
            self._pool.wait()
            return
        run = self._rng.choice(list(self._chunks.runs(free, most_bytes=RUN_BESIDE_PEERS_BYTES)))
        with self._store.claimed(run):
            # A peer may have chosen the same in the same moment, or have it since: whoever sees that gives way.
            self._pool.look(at_once=True)
            is_contested = not self._pool.fetched_by_others().isdisjoint(run.places())
            if not is_contested and self._pool.offer(list(run.places())) is None:
                self._from_source(run)
                self._pool.progressed()
        if is_contested:
            self._pool.wait()

    def _from_source(self, run: Run) -> None:
        """Fetch a run of the source; a lost link is tried again at once as long as each try brings some."""
        self._room_check(self._chunks.run_bytes(run))
        before = self._store.arrived()
        try:
            self._patch(run)
            for rest in list(self._chunks.runs([place for place in run.places() if self._store.is_missing(place)])):
                self._receive(rest)
        except LinkLost:
            if self._store.arrived() == before:
                raise

    def _receive(self, run: Run) -> None:
        try:
            self._store.receive(run, self._source, goes_on=True)
        except ChunkMismatch as error:
            chunk = int(str(error.fields["chunk"]))
            self._store.receive(Run(file=run.file, first=chunk, last=chunk), self._source)

    def _patch(self, run: Run) -> None:
        """Make what chunks of the run can be made out of an older release here."""
        try:
            for together in self._patches.runs(run):
                self._store.keep_each(run.file, self._patches.make(together, self._source))
        except BlobUnavailable:
            # A stick, or a centre that has tidied up, may hold the release without its patches.
            self._patches.forget()

    def _file_take_over(self, number: int, held: Path) -> None:
        """Take a file from another release on this disk; if it turns out damaged there, it is fetched after all."""
        path = self._store.path(number)
        if file_is_whole(held, self._entry(number)):
            path.unlink(missing_ok=True)
            _link_or_copy(held, path)
            self._store.file_keep(number)

    def _chunks_take_over(self, reuse: Sequence[Path]) -> None:
        missing = self._store.missing()
        held = chunks_held(reuse, wanted={self._chunks.sha256(place) for place in missing})
        for number in self._numbers:
            here = [place for place in missing if place.file == number and self._chunks.sha256(place) in held]
            self._store.keep_each(number, self._read_each(here, held))

    def _read_each(self, places: list[ChunkPlace], held: dict[str, HeldChunk]) -> Iterator[tuple[ChunkPlace, bytes]]:
        return ((place, held[self._chunks.sha256(place)].read()) for place in places)

    def _room_check(self, missing_bytes: int) -> None:
        needed_bytes, free_bytes = missing_bytes + self._reserve_bytes, self._disk_free(self._partial)
        if missing_bytes and free_bytes < needed_bytes:
            raise DiskFull(needed_bytes=needed_bytes, free_bytes=free_bytes)

    def _report(self) -> None:
        total = sum(self._entry(number).size_bytes for number in self._numbers)
        self._progress(total - self._store.missing_bytes(), total)

    def _entry(self, number: int) -> FileEntry:
        return self._chunks.files[number]


def _is_installed(into: Path, index: ReleaseIndex, variant: str) -> bool:
    try:
        if index_digest(index_read(into)) != index_digest(index) or variant_read(into) != variant:
            return False
        index_verify(into, index)
    except ReleaseDamaged:
        return False
    return True


def _link_or_copy(source: Path, target: Path) -> None:
    """Releases are never written to again, so that two may share a file's blocks, where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb") as stream:
            os.fsync(stream.fileno())
