"""Write files so that a power cut leaves the old content or the new, never half."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def durable_write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Leave exactly `content` at `path`, on the disk itself; a reader meets the old file or the new one.

    A cut may leave a `.<name>.*.tmp` file beside `path`, which nobody reads. Source: man 2 fsync, NOTES.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        durable_rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def durable_rename(source: Path, target: Path) -> None:
    """Move the already flushed `source` to `target` and flush the name itself."""
    source.replace(target)
    directory_flush(target.parent)


def directory_flush(directory: Path) -> None:
    """Flush the names in `directory`: without it a rename may be lost in a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
