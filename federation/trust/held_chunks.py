"""Find on this disk what a new release shares with others, whole or half fetched: by digest, wherever it lies there.

Whoever takes such bytes verifies them as if they came over a link.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from federation.trust.chunk_journal import journal_read
from federation.trust.chunk_store import FILES_NAME, JOURNAL_NAME, ChunkMap
from federation.trust.errors import ReleaseDamaged
from federation.trust.release_bytes import index_read
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
            held |= {entry.sha256: directory / entry.path for entry in index.files}
    return held


def chunks_held(directories: Iterable[Path], *, wanted: Collection[str]) -> dict[str, HeldChunk]:
    """Return where the chunks `wanted` (SHA-256) lie in releases and downloads, as far as those hold them."""
    held: dict[str, HeldChunk] = {}
    for directory, index in _indexes(directories):
        chunks = ChunkMap(directory.name, index.files)
        is_half = is_partial(directory)
        files = directory / FILES_NAME if is_half else directory
        here = journal_read(directory / JOURNAL_NAME) if is_half else chunks.numbers
        for place in chunks.places:
            digest = chunks.sha256(place)
            if digest in wanted and place in here:
                path = files / index.files[place.file].path
                held[digest] = HeldChunk(path=path, start=chunks.start(place), size_bytes=chunks.size_bytes(place))
    return held


def is_partial(directory: Path) -> bool:
    """Return whether `directory` is that of a download, which keeps the files of its release one level below."""
    # No file of a release is called so: an index that names one is a whole release's own affair.
    return (directory / JOURNAL_NAME).is_file() and (directory / FILES_NAME).is_dir()


def _indexes(directories: Iterable[Path]) -> Iterator[tuple[Path, ReleaseIndex]]:
    for directory in directories:
        with contextlib.suppress(ReleaseDamaged):
            yield directory, index_read(directory)
