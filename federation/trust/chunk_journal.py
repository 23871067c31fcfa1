"""Remember which chunks of a release lie verified on the disk, through any cut.

One line a chunk, appended and flushed only after the chunk's own bytes were. A line that a cut has halved is dropped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class ChunkPlace(NamedTuple):
    """A chunk of a release: the number of its file in the index (see `files_all`), and its own number in that file."""

    file: int
    chunk: int


class ChunkJournal:
    """The verified chunks of one download, kept at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = _content(path)
        whole = _whole_lines(content)
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        self._places = _places(whole)

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


def journal_read(path: Path) -> set[ChunkPlace]:
    """Return the chunks that the journal at `path` remembers, while its own download may be adding to it."""
    return _places(_whole_lines(_content(path)))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def _places(lines: bytes) -> set[ChunkPlace]:
    return {_place(line) for line in lines.splitlines()}


def _place(line: bytes) -> ChunkPlace:
    # After a power cut a block may come back as zeros or noise: such a line names no chunk.
    words = line.split()
    if len(words) != len(ChunkPlace._fields) or not all(word.isdigit() for word in words):
        return ChunkPlace(-1, -1)
    return ChunkPlace(int(words[0]), int(words[1]))
