"""Read what another user may have written and exchanged: a plain file, not a link, a pipe or a device."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


def foreign_open(path: Path) -> BinaryIO:
    """Return the file at `path`, open for reading.

    Raises:
        FileNotFoundError: there is none.
        OSError: it is no plain file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    stream = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        stream.close()
        raise OSError(f"{path} is no plain file")
    return stream


def foreign_read(path: Path, *, limit_bytes: int) -> bytes | None:
    """Return what the file at `path` holds; None where there is none, or where it is longer than `limit_bytes`."""
    try:
        with foreign_open(path) as stream:
            content = stream.read(limit_bytes + 1)
    except OSError:
        return None
    return None if len(content) > limit_bytes else content
