"""Gives back the pages of a file that loading has read once.

ONNX Runtime maps the file of a package's weights, copies most matrices into forms of its own, and keeps the mapping for
the words' rows, which the embedding reads in place. What the copying has read would count as this process's memory for
as long as the system has enough; rows that are wanted again come back from the page cache, without the disk.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

_SMAPS = Path("/proc/self/smaps")
_DONT_NEED = 4
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+\s*(.*)")


def file_pages_release(path: Path) -> None:
    """Let go of all pages of `path` that this process has mapped and not changed; does nothing but on Linux."""
    if not _SMAPS.exists():
        return
    advise = ctypes.CDLL(None).madvise
    for start, end in _unchanged(_SMAPS.read_text(errors="replace"), str(path.resolve())):
        advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONT_NEED)


def _unchanged(smaps: str, path: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of the mappings of `path` without a page that was written to: such a one would be lost."""
    place: tuple[int, int] | None = None
    for line in smaps.splitlines():
        if found := _MAPPING.fullmatch(line):
            place = (int(found[1], 16), int(found[2], 16)) if found[3] == path else None
        elif place is not None and line.split() == ["Anonymous:", "0", "kB"]:
            yield place
