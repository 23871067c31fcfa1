"""What this PC can give to the school's other PCs: releases that TUF's targets name, and public metadata. Reads only.

Rules, in order: nothing is named by a path of the asker's; nothing that is withdrawn is given; of a release that is
half fetched only verified chunks. Whoever takes it verifies it again.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from federation.trust.chunk_journal import ChunkPlace, journal_read
from federation.trust.chunk_store import CLAIM_NAME, FILES_NAME, JOURNAL_NAME, ChunkMap
from federation.trust.errors import ReleaseDamaged
from federation.trust.peers import holdings_bits
from federation.trust.release_bytes import INDEX_NAME, index_read
from federation.trust.tuf_client import trusted_read
from federation.wire.relay import Holdings
from federation.wire.releases import FileEntry
from node.installed.disk import download_path, release_path

CLAIM_SECONDS = 60.0
_METADATA_NAME = re.compile(r"(?:([0-9]{1,9})\.)?(root|targets|snapshot|timestamp)\.json", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes of a file: `length` of them from `start`."""

    path: Path
    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A release on this disk: its files, and which of their chunks are here."""

    chunks: ChunkMap
    files: Path
    here: set[ChunkPlace]
    fetching: tuple[int, ...]


class Shelf:
    """What the node at `root` can give."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def holdings(self, release: str) -> Holdings | None:
        """Return which chunks of a trusted release are here, or None where nothing is."""
        kept = self._kept(release) if release in self._trusted() else None
        if kept is None:
            return None
        return Holdings(release=release, chunks=holdings_bits(kept.chunks, kept.here), fetching=kept.fetching)

    def blob_piece(self, sha256: str, start: int, length: int) -> Piece | None:
        """Return where the range of a trusted release's file lies, if all of it is here."""
        for release in self._trusted():
            kept = self._kept(release)
            for file, entry in enumerate(kept.chunks.files) if kept else ():
                if kept and entry.sha256 == sha256 and _is_here(kept, file, entry, start, length):
                    return Piece(path=kept.files / entry.path, start=start, length=length)
        return None

    def metadata(self, name: str) -> bytes | None:
        """Return a file of TUF metadata under the name by which the centre gives it."""
        match = _METADATA_NAME.fullmatch(name)
        if match is None:
            return None
        version, role = match.groups()
        folder = self._root / "tuf" / "metadata"
        if role == "root":
            return _read(folder / "root_history" / f"{version}.root.json") if version else None
        content = _read(folder / f"{role}.json")
        # On this disk a role's newest file has no version in its name.
        is_asked_for = content is not None and (role == "timestamp" or _version(content) == version)
        return content if is_asked_for else None

    def index(self, release: str) -> bytes | None:
        """Return the index of a trusted release."""
        return _read(self._root / "tuf" / "indexes" / f"{release}.json") if release in self._trusted() else None

    def _trusted(self) -> tuple[str, ...]:
        return trusted_read(self._root / "tuf").releases

    def _kept(self, release: str) -> _Kept | None:
        whole, partial = release_path(self._root, release), download_path(self._root, release)
        for directory in (whole, partial):
            if (chunks := _chunk_map(directory, release)) is not None:
                if directory == whole:
                    return _Kept(chunks=chunks, files=whole, here=set(chunks.places), fetching=())
                here = journal_read(partial / JOURNAL_NAME)
                return _Kept(chunks=chunks, files=partial / FILES_NAME, here=here, fetching=tuple(_claimed(partial)))
        return None


def _is_here(kept: _Kept, file: int, entry: FileEntry, start: int, length: int) -> bool:
    if length < 1 or start + length > entry.size_bytes:
        return False
    places = [ChunkPlace(file, chunk) for chunk in range(len(entry.chunks))]
    return all(
        place in kept.here
        for place in places
        if kept.chunks.start(place) < start + length
        and kept.chunks.start(place) + kept.chunks.size_bytes(place) > start
    )


def _claimed(partial: Path) -> Iterator[int]:
    """Yield the chunks that are being fetched; a claim that nobody renews any more is none."""
    path = partial / CLAIM_NAME
    try:
        if abs(time.time() - path.stat().st_mtime) > CLAIM_SECONDS:
            return
        first, last = (int(word) for word in path.read_text("ascii").split())
    except (OSError, ValueError):
        return
    yield from range(first, last + 1)


def _chunk_map(directory: Path, release: str) -> ChunkMap | None:
    try:
        changed_at = (directory / INDEX_NAME).stat().st_mtime_ns
    except OSError:
        return None
    return _chunk_map_read(directory, release, changed_at)


@functools.lru_cache(maxsize=8)
def _chunk_map_read(directory: Path, release: str, changed_at: int) -> ChunkMap | None:
    del changed_at  # Part of the cache's key: a directory that appeared anew is read anew.
    try:
        return ChunkMap(release, index_read(directory).files)
    except ReleaseDamaged:
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _version(content: bytes) -> str:
    try:
        return str(json.loads(content)["signed"]["version"])
    except (ValueError, KeyError, TypeError):
        return ""
