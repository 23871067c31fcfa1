"""The chunks of one release on their way to this disk: which are missing, and how one is kept.

1. A chunk is verified, written at its offset, flushed, and only then journalled: a power cut costs about a second.
2. The part of a chunk that came before the link was cut waits for the rest, and is verified with it.
3. What is under way is said in the file `claim`, for the other PCs of the school; it is no promise.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from federation.trust.blob_sources import BlobSource
from federation.trust.chunk_journal import ChunkJournal, ChunkPlace
from federation.trust.errors import ChunkMismatch, FetchStopped, LinkLost
from federation.trust.release_bytes import file_is_whole
from federation.wire.releases import FileEntry, chunk_starts

RUN_BYTES = 4 * 1024 * 1024
FLUSH_SECONDS = 1.0
BEGUN_NAME, CLAIM_NAME, FILES_NAME, JOURNAL_NAME = "begun", "claim", "files", "journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Neighbouring chunks of one file: `first` to `last`, both included."""

    file: int
    first: int
    last: int

    def places(self) -> Iterator[ChunkPlace]:
        """Yield the chunks in order."""
        return (ChunkPlace(self.file, chunk) for chunk in range(self.first, self.last + 1))


class ChunkMap:
    """Where each chunk of the files of a release begins, how long it is, and its number through all of them."""

    def __init__(self, release: str, files: Sequence[FileEntry]) -> None:
        """Map the `files_all` of the release with this digest."""
        self.release, self.files = release, files
        self._starts = [(*chunk_starts(entry.size_bytes, entry.tensors), entry.size_bytes) for entry in files]
        self.places = [
            ChunkPlace(file, chunk) for file, entry in enumerate(files) for chunk in range(len(entry.chunks))
        ]
        self.numbers = {place: number for number, place in enumerate(self.places)}
        self._places_by_sha256: dict[str, list[ChunkPlace]] = {}
        for place in self.places:
            self._places_by_sha256.setdefault(self.sha256(place), []).append(place)

    def start(self, place: ChunkPlace) -> int:
        """Return where in its file the chunk begins."""
        return self._starts[place.file][place.chunk]

    def size_bytes(self, place: ChunkPlace) -> int:
        """Return how long the chunk is."""
        starts = self._starts[place.file]
        return starts[place.chunk + 1] - starts[place.chunk]

    def sha256(self, place: ChunkPlace) -> str:
        """Return the digest that the index gives for the chunk."""
        return self.files[place.file].chunks[place.chunk]

    def alike(self, place: ChunkPlace) -> Sequence[ChunkPlace]:
        """Return all chunks of the release with the bytes of this one, itself among them."""
        return self._places_by_sha256[self.sha256(place)]

    def run_bytes(self, run: Run) -> int:
        """Return how long the run is."""
        starts = self._starts[run.file]
        return starts[run.last + 1] - starts[run.first]

    def runs(self, places: list[ChunkPlace], *, most_bytes: int = RUN_BYTES) -> Iterator[Run]:
        """Yield `places`, in order, as runs of neighbours, each of one chunk or at most `most_bytes`."""
        waiting = iter(places)
        if (place := next(waiting, None)) is None:
            return
        run = Run(file=place.file, first=place.chunk, last=place.chunk)
        for place in waiting:
            longer = Run(file=run.file, first=run.first, last=place.chunk)
            is_neighbour = place == (run.file, run.last + 1)
            if is_neighbour and self.run_bytes(longer) <= most_bytes:
                run = longer
            else:
                yield run
                run = Run(file=place.file, first=place.chunk, last=place.chunk)
        yield run


class ChunkStore:
    """The files of a release, or of one variant of it, under `partial`, as far as they have come."""

    def __init__(
        self,
        chunks: ChunkMap,
        numbers: range,
        partial: Path,
        report: Callable[[], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """Take up what an earlier fetch left of the files `numbers`; `report` is called when chunks were kept."""
        self.chunks, self.files = chunks, partial / FILES_NAME
        self._partial, self._report, self._should_stop = partial, report, should_stop
        self._journal = ChunkJournal(partial / JOURNAL_NAME)
        self._missing = {place: None for place in chunks.places if place.file in numbers and place not in self._journal}
        self._claimed_at = 0.0

    def missing(self) -> list[ChunkPlace]:
        """Return the chunks that are not here yet, in order."""
        return list(self._missing)

    def is_missing(self, place: ChunkPlace) -> bool:
        """Return whether the chunk is not here yet."""
        return place in self._missing

    def arrived(self) -> tuple[int, int]:
        """Return what only changes when something came: how many chunks are missing, and what one begun has."""
        path = self._partial / BEGUN_NAME
        return len(self._missing), path.stat().st_size if path.exists() else 0

    def missing_bytes(self) -> int:
        """Return how many bytes are not here yet."""
        return sum(self.chunks.size_bytes(place) for place in self._missing)

    def path(self, file: int) -> Path:
        """Return where a file of the release grows."""
        return self.files / self.chunks.files[file].path

    def file_keep(self, file: int) -> None:
        """Remember a file as whole that the caller has put in place, verified and flushed."""
        entry = self.chunks.files[file]
        self._remember([ChunkPlace(file, chunk) for chunk in range(len(entry.chunks))])

    def file_is_whole(self, file: int) -> bool:
        """Return whether a file that misses nothing is the one of the index, down to its last byte."""
        return file_is_whole(self.path(file), self.chunks.files[file])

    def file_forget(self, file: int) -> None:
        """Begin a file again."""
        self._journal.forget_file(file)
        # Unlinked, not emptied: another release may share its blocks.
        self.path(file).unlink()
        self.path(file).touch()
        places = dict.fromkeys([ChunkPlace(file, chunk) for chunk in range(len(self.chunks.files[file].chunks))])
        self._missing = dict.fromkeys(sorted(self._missing | places))

    def receive(self, run: Run, source: BlobSource, *, goes_on: bool = False) -> None:
        """Fetch the chunks of `run` from `source` and keep each.

        A source that `goes_on` need not send again the part of a chunk that came before its link was cut.

        Raises:
            ChunkMismatch: one was wrong; those before it are kept.
            LinkLost, BlobUnavailable: as the source, or it ended early; what came before is kept.
            FetchStopped: the caller said so.
        """
        begun = self._begun(ChunkPlace(run.file, run.first)) if goes_on else b""
        start = self.chunks.start(ChunkPlace(run.file, run.first)) + len(begun)
        length = self.chunks.run_bytes(run) - len(begun)
        pieces = source.read_range(self.chunks.files[run.file].sha256, start, length)
        with self._keeper(run.file) as keep:
            for place, content in self._cut(run, begun, pieces, goes_on=goes_on):
                keep(place, content)

    def keep_each(self, file: int, found: Iterator[tuple[ChunkPlace, bytes]]) -> None:
        """Keep chunks of one file that were found or made here; a wrong one is left out.

        Raises:
            FetchStopped: the caller said so.
        """
        with self._keeper(file) as keep:
            for place, content in found:
                if self._should_stop():
                    raise FetchStopped(release=self.chunks.release)
                if hashlib.sha256(content).hexdigest() == self.chunks.sha256(place):
                    keep(place, content)

    @contextmanager
    def claimed(self, run: Run) -> Iterator[None]:
        """Say to the other PCs of the school that `run` is being fetched here."""
        numbers = [self.chunks.numbers[place] for place in run.places()]
        draft = self._partial / f".{CLAIM_NAME}"
        draft.write_text(f"{numbers[0]} {numbers[-1]}", encoding="ascii")
        draft.replace(self._partial / CLAIM_NAME)
        self._claimed_at = time.monotonic()
        try:
            yield
        finally:
            (self._partial / CLAIM_NAME).unlink(missing_ok=True)

    def _cut(
        self, run: Run, begun: bytes, pieces: Iterator[bytes], *, goes_on: bool
    ) -> Iterator[tuple[ChunkPlace, bytes]]:
        """Yield each whole chunk of the run as it comes, verified; what comes after the last is not read."""
        places = list(run.places())
        held = bytearray(begun)
        try:
            for piece in pieces:
                if not places:
                    # More than was asked for: no source has a reason to.
                    return
                held += piece
                self._claim_renew()
                while places and len(held) >= (size_bytes := self.chunks.size_bytes(places[0])):
                    content = bytes(held[:size_bytes])
                    del held[:size_bytes]
                    yield places[0], self._verified(places.pop(0), content)
                if self._should_stop():
                    raise FetchStopped(release=self.chunks.release)
        except LinkLost:
            self._begin(places if goes_on else [], held)
            raise
        if places:
            self._begin(places if goes_on else [], held)
            raise LinkLost(sha256=self.chunks.files[run.file].sha256, problem="short")

    def _begin(self, places: list[ChunkPlace], held: bytearray) -> None:
        if places and held:
            (self._partial / BEGUN_NAME).write_bytes(b"%d %d\n" % places[0] + held)

    def _begun(self, place: ChunkPlace) -> bytes:
        """Return what came of the chunk before a cut, once: if it turns out wrong, the chunk comes whole."""
        path = self._partial / BEGUN_NAME
        if not path.exists():
            return b""
        name, _, content = path.read_bytes().partition(b"\n")
        path.unlink()
        return content if name == b"%d %d" % place and len(content) < self.chunks.size_bytes(place) else b""

    def _verified(self, place: ChunkPlace, content: bytes) -> bytes:
        if hashlib.sha256(content).hexdigest() != self.chunks.sha256(place):
            path = self.chunks.files[place.file].path
            raise ChunkMismatch(release=self.chunks.release, path=path, chunk=place.chunk)
        return content

    def _claim_renew(self) -> None:
        if time.monotonic() - self._claimed_at > FLUSH_SECONDS and (self._partial / CLAIM_NAME).exists():
            os.utime(self._partial / CLAIM_NAME)
            self._claimed_at = time.monotonic()

    @contextmanager
    def _keeper(self, file: int) -> Iterator[Callable[[ChunkPlace, bytes], None]]:
        """Yield what writes a verified chunk of `file` at its offset; chunks are journalled about once a second."""
        unflushed: list[ChunkPlace] = []
        with self.path(file).open("r+b") as stream:
            flushed_at = time.monotonic()

            def flush() -> None:
                nonlocal flushed_at
                if unflushed:
                    os.fsync(stream.fileno())
                    self._remember(unflushed)
                    unflushed.clear()
                flushed_at = time.monotonic()

            def keep(place: ChunkPlace, content: bytes) -> None:
                os.pwrite(stream.fileno(), content, self.chunks.start(place))
                unflushed.append(place)
                if time.monotonic() - flushed_at >= FLUSH_SECONDS:
                    flush()

            try:
                yield keep
            finally:
                flush()

    def _remember(self, places: list[ChunkPlace]) -> None:
        self._journal.add(places)
        for place in places:
            self._missing.pop(place, None)
        self._report()
