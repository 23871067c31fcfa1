"""Remember which chunks of a release lie verified on the disk, through any cut.

One line a chunk, appended and flushed only after the chunk's own bytes were. A line that a cut has halved is dropped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class ChunkPlace(NamedTuple):
    """A chunk of a release: the number of its file in the index, and its own number in that file."""

    file: int
    chunk: int


class ChunkJournal:
    """The verified chunks of one download, kept at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        self._places = {_place(line) for line in whole.splitlines()}

    def __contains__(self, place: ChunkPlace) -> bool:
        return place in self._places

    def add(self, places: list[ChunkPlace]) -> None:
        """Remember `places`, whose bytes the caller has flushed."""
        with self._path.open("ab") as stream:
            stream.write(b"".join(b"%d %d\n" % place for place in places))
            stream.flush()
            os.fsync(stream.fileno())
        self._places.update(places)

    def forget_file(self, file: int) -> None:
        """Leave no chunk of this file remembered; the caller has found that the disk does not hold them after all."""
        kept = sorted(place for place in self._places if place.file != file)
        self._path.unlink(missing_ok=True)
        self._places = set()
        self.add(kept)


class ChunkBeginning:
    """The first bytes of one chunk on which the link ended, kept at `path`; unverified, and nothing depends on them.

    Not flushed: after a power cut they may be missing, cut or wrong, and the chunk is asked for once more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            line, _, self._content = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            line, self._content = b"", b""
        self._place = _place(line)

    def of(self, place: ChunkPlace) -> bytes:
        """Return what is there of the chunk at `place`: the whole chunk never, and often nothing."""
        return self._content if place == self._place else b""

    def keep(self, place: ChunkPlace, content: bytes) -> None:
        """Remember these first bytes, in place of any others."""
        self._place, self._content = place, content
        self._path.write_bytes(b"%d %d\n" % place + content)


def _place(line: bytes) -> ChunkPlace:
    # After a power cut a block may come back as zeros or noise: such a line names no chunk.
    words = line.split()
    if len(words) != len(ChunkPlace._fields) or not all(word.isdigit() for word in words):
        return ChunkPlace(-1, -1)
    return ChunkPlace(int(words[0]), int(words[1]))
