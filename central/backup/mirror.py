"""Keep one folder the same as another; each file appears whole or not at all, and what is the same is not copied again.

Names that begin with a dot are locks and half-written files, and are nobody's to copy.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from federation.trust.durable import durable_rename

PRIVATE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """How much was new, and how much is gone since the last time."""

    files: int = 0
    size_bytes: int = 0
    removed: int = 0

    def __add__(self, other: Copied) -> Copied:
        """Return both together."""
        return Copied(
            files=self.files + other.files,
            size_bytes=self.size_bytes + other.size_bytes,
            removed=self.removed + other.removed,
        )


def folder_mirror(*, source: Path, into: Path, but: Iterable[str] = ()) -> Copied:
    """Leave under `into` the files under `source` and no others; folders named in `but` are passed by.

    What is deleted at the source must not live on in its backups: it may be what a school has taken back.
    """
    skipped, copied = frozenset(but), Copied()
    wanted = set(_files(source, skipped))
    for name in sorted(wanted):
        copied += file_copy(source=source / name, into=into / name)
    gone = set(_files(into, frozenset())) - wanted
    for name in gone:
        (into / name).unlink()
    return copied + Copied(removed=len(gone))


def file_copy(*, source: Path, into: Path) -> Copied:
    """Leave a copy with the source's time of change; one of the same length and time is taken for the same."""
    try:
        found = source.stat()
    except FileNotFoundError:  # removed since it was listed
        return Copied()
    if into.exists() and (into.stat().st_size, into.stat().st_mtime_ns) == (found.st_size, found.st_mtime_ns):
        return Copied()
    into.parent.mkdir(parents=True, exist_ok=True)
    with _drafted(into) as draft, source.open("rb") as reader:
        with draft.open("wb") as writer:
            shutil.copyfileobj(reader, writer)
        os.utime(draft, ns=(found.st_atime_ns, found.st_mtime_ns))
    return Copied(files=1, size_bytes=found.st_size)


def sqlite_copy(*, source: Path, into: Path) -> Copied:
    """Leave a copy of a database as it is at one moment, while others write to it.

    Source: SQLite's online backup API, https://sqlite.org/backup.html.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    with _drafted(into) as draft:
        readable = closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True))
        with readable as reader, closing(sqlite3.connect(draft)) as writer:
            reader.backup(writer)
            # A copy is one file, which may be read where nothing may be written.
            writer.execute("PRAGMA journal_mode=DELETE")
    return Copied(files=1, size_bytes=into.stat().st_size)


@contextmanager
def _drafted(into: Path) -> Iterator[Path]:
    """Yield a file beside `into` that takes its name once it is on the disk; after an error nothing is left of it."""
    handle, name = tempfile.mkstemp(dir=into.parent, prefix=f".{into.name}.", suffix=".tmp")
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        with draft.open("rb") as stream:
            os.fchmod(stream.fileno(), PRIVATE)
            os.fsync(stream.fileno())
        durable_rename(draft, into)
    finally:
        draft.unlink(missing_ok=True)


def _files(folder: Path, skipped: frozenset[str]) -> Iterator[Path]:
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in skipped and not name.startswith(".")]
        for name in names:
            file = Path(path, name)
            if not name.startswith(".") and not file.is_symlink():
                yield file.relative_to(folder)
