"""Gives back the pages of a file that were read and are not needed now.

ONNX Runtime maps the file of a package's weights, copies most matrices out of it into forms of its own, and keeps the
mapping for the words' rows, which the embedding reads in place. For one row the system may map two megabytes, and what
was mapped counts as this process's memory for as long as the system has enough. Rows that are wanted again come back
from the page cache, without the disk.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

_SMAPS = Path("/proc/self/smaps")
_DONT_NEED = 4
_libc = ctypes.CDLL(None)
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+\s*(.*)")


class FilePages:
    """The mappings of one file that this process has now; nothing but on Linux."""

    def __init__(self, path: Path, *, smallest_bytes: int = 1) -> None:
        """Find the mappings of `smallest_bytes` and more that hold no page written to: such a one would be lost."""
        smaps = _SMAPS.read_text(errors="replace") if _SMAPS.exists() else ""
        places = _unchanged(smaps, str(path.resolve()))
        self._places = tuple(place for place in places if place[1] - place[0] >= smallest_bytes)

    def release(self) -> None:
        """Let all pages go; the file must still be mapped where it was, and nobody writes there."""
        for start, end in self._places:
            _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONT_NEED)


def _unchanged(smaps: str, path: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of the mappings of `path` that hold no page of this process's own."""
    place: tuple[int, int] | None = None
    for line in smaps.splitlines():
        if found := _MAPPING.fullmatch(line):
            place = (int(found[1], 16), int(found[2], 16)) if found[3] == path else None
        elif place is not None and line.split() == ["Anonymous:", "0", "kB"]:
            yield place
