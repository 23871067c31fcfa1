"""Find on this disk what a new release shares with others, whole or half fetched: by digest, wherever it lies there.

Whoever takes such bytes verifies them as if they came over a link.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from federation.trust.chunk_journal import ChunkPlace, journal_read
from federation.trust.chunk_store import FILES_NAME, JOURNAL_NAME, ChunkMap
from federation.trust.errors import ReleaseDamaged
from federation.trust.release_bytes import files_all, index_read, installed_files, installed_numbers
from federation.wire.releases import ReleaseIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldChunk:
    """Where a chunk should lie."""

    path: Path
    start: int
    size_bytes: int

    def read(self) -> bytes:
        """Return what lies there; less or nothing where the disk has lost it."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.start)
                return stream.read(self.size_bytes)
        except OSError:
            return b""


def files_held(directories: Iterable[Path]) -> dict[str, Path]:
    """Return the files of the whole releases among `directories`, by SHA-256."""
    held: dict[str, Path] = {}
    for directory, index in _indexes(directories):
        if not is_partial(directory):
            held |= {entry.sha256: directory / entry.path for entry in installed_files(directory, index)}
    return held


def chunks_held(directories: Iterable[Path], *, wanted: Collection[str]) -> dict[str, HeldChunk]:
    """Return where the chunks `wanted` (SHA-256) lie in releases and downloads, as far as those hold them."""
    held: dict[str, HeldChunk] = {}
    for directory, index in _indexes(directories):
        chunks = ChunkMap(directory.name, files_all(index))
        is_half = is_partial(directory)
        files = directory / FILES_NAME if is_half else directory
        for place in journal_read(directory / JOURNAL_NAME) if is_half else installed_places(directory, index, chunks):
            if place in chunks.numbers and (digest := chunks.sha256(place)) in wanted:
                path = files / chunks.files[place.file].path
                held[digest] = HeldChunk(path=path, start=chunks.start(place), size_bytes=chunks.size_bytes(place))
    return held


def installed_places(directory: Path, index: ReleaseIndex, chunks: ChunkMap) -> set[ChunkPlace]:
    """Return the chunks that lie in the directory of a whole release, of one variant of it where it has several.

    Raises:
        ReleaseDamaged: it does not say which variant of the release it holds.
    """
    numbers = installed_numbers(directory, index)
    return {place for place in chunks.places if place.file in numbers}


def is_partial(directory: Path) -> bool:
    """Return whether `directory` is that of a download, which keeps the files of its release one level below."""
    # No file of a release is called so: an index that names one is a whole release's own affair.
    return (directory / JOURNAL_NAME).is_file() and (directory / FILES_NAME).is_dir()


def _indexes(directories: Iterable[Path]) -> Iterator[tuple[Path, ReleaseIndex]]:
    """Yield the releases and downloads that are in order, each with its index."""
    for directory in directories:
        with contextlib.suppress(ReleaseDamaged):
            index = index_read(directory)
            if not is_partial(directory):
                installed_numbers(directory, index)
            yield directory, index
