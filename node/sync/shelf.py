"""What this PC can give to the school's other PCs: releases that TUF's targets name, and public metadata. Reads only.

Rules, in order: nothing is named by a path of the asker's; nothing that is withdrawn is given; of a release that is
half fetched only verified chunks. Whoever takes it verifies it again.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.trust.chunk_journal import ChunkPlace, journal_read
from federation.trust.chunk_store import CLAIM_NAME, FILES_NAME, JOURNAL_NAME, ChunkMap
from federation.trust.errors import ReleaseDamaged
from federation.trust.held_chunks import installed_places
from federation.trust.peers import holdings_bits
from federation.trust.release_bytes import INDEX_NAME, files_all, index_read
from federation.trust.tuf_client import trusted_read
from federation.wire.relay import Holdings
from node.installed.disk import downloads_of, release_path

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Map:
    """The chunks of a release, and which of them lie in its directory where that is whole."""

    chunks: ChunkMap
    installed: set[ChunkPlace]


class Shelf:
    """What the node at `root` can give."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def holdings(self, release: str) -> Holdings | None:
        """Return which chunks of a trusted release are here, or None where nothing is."""
        kept = list(self._kept(release)) if release in self._trusted() else []
        if not kept:
            return None
        return Holdings(
            release=release,
            chunks=holdings_bits(kept[0].chunks, {place for each in kept for place in each.here}),
            fetching=tuple(number for each in kept for number in each.fetching),
        )

    def blob_pieces(self, sha256: str, start: int, length: int) -> list[Piece]:
        """Return where the range of a trusted release's file lies, piece after piece; none if not all of it is here.

        Of a variant that is not here the pieces come from wherever this PC has the same bytes.
        """
        for release in self._trusted():
            kept = list(self._kept(release))
            for file, entry in enumerate(kept[0].chunks.files if kept else ()):
                if entry.sha256 == sha256 and (pieces := _pieces(kept, file, start, length)):
                    return pieces
        return []

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

    def _kept(self, release: str) -> Iterator[_Kept]:
        """Yield what is here of a release: all of it, or of one variant, else what has come in its downloads."""
        whole = release_path(self._root, release)
        if (found := _map_read(whole, release)) is not None and found.installed:
            yield _Kept(chunks=found.chunks, files=whole, here=found.installed, fetching=())
            return
        for partial in downloads_of(self._root, release):
            if (found := _map_read(partial, release)) is not None:
                here = journal_read(partial / JOURNAL_NAME)
                fetching = tuple(_claimed(partial))
                yield _Kept(chunks=found.chunks, files=partial / FILES_NAME, here=here, fetching=fetching)


def _pieces(kept: Sequence[_Kept], file: int, start: int, length: int) -> list[Piece]:
    """Return the range out of the chunks of a release that are here; none if one is not."""
    chunks, end = kept[0].chunks, start + length
    if length < 1 or end > chunks.files[file].size_bytes:
        return []
    found: list[Piece] = []
    for number in range(len(chunks.files[file].chunks)):
        place = ChunkPlace(file, number)
        begins = chunks.start(place)
        first, last = max(start, begins), min(end, begins + chunks.size_bytes(place))
        if first < last:
            alike = ((each.files, same) for each in kept for same in chunks.alike(place) if same in each.here)
            files, same = next(alike, (None, place))
            if files is None:
                return []
            path = files / chunks.files[same.file].path
            found.append(Piece(path=path, start=chunks.start(same) + first - begins, length=last - first))
    return found


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


def _map_read(directory: Path, release: str) -> _Map | None:
    try:
        changed_at = (directory / INDEX_NAME).stat().st_mtime_ns
    except OSError:
        return None
    return _map_made(directory, release, changed_at)


@functools.lru_cache(maxsize=8)
def _map_made(directory: Path, release: str, changed_at: int) -> _Map | None:
    del changed_at  # Part of the cache's key: a directory that appeared anew is read anew.
    try:
        index = index_read(directory)
    except ReleaseDamaged:
        return None
    chunks = ChunkMap(release, files_all(index))
    try:
        return _Map(chunks=chunks, installed=installed_places(directory, index, chunks))
    except ReleaseDamaged:
        # A download of a variant, whose journal says which chunks it has.
        return _Map(chunks=chunks, installed=set())


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
