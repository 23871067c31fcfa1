"""Where files wait to be read: under the node's root, named by their digest, and gone once they are read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from federation.trust.errors import DiskFull
from node.textbooks.errors import TextbookTooBig

MOST_FILE_BYTES = 64 * 1024 * 1024
# What chats need to go on writing while a book lies here.
_SPARED_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """A file that lies on the shelf."""

    sha256: str
    size_bytes: int


def file_path(root: Path, sha256: str) -> Path:
    """Return where the file of this digest lies."""
    return _folder(root) / sha256


def file_shelve(*, root: Path, content: Iterable[bytes], size_bytes: int) -> Shelved:
    """Return the digest under which the file now lies, whole and safe from a power cut; after an error nothing does.

    Raises:
        TextbookTooBig: it has over 64 MiB.
        DiskFull: there is no room for it and for what the school writes meanwhile.
    """
    _size_expect(size_bytes)
    folder = _folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    _room_expect(folder, size_bytes)
    handle, draft = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            digest, written = hashlib.sha256(), 0
            for chunk in content:
                written += len(chunk)
                _size_expect(written)
                digest.update(chunk)
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        Path(draft).replace(file_path(root, digest.hexdigest()))
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return Shelved(sha256=digest.hexdigest(), size_bytes=written)


def file_remove(root: Path, sha256: str) -> None:
    """Let the file lie there no more."""
    file_path(root, sha256).unlink(missing_ok=True)


def files_sweep(root: Path, *, keep: Collection[str]) -> None:
    """Leave only the files of the digests `keep`: a cut may have left others."""
    for path in _folder(root).glob("*"):
        if path.name not in keep:
            path.unlink(missing_ok=True)


def _folder(root: Path) -> Path:
    return root / "textbooks"


def _size_expect(size_bytes: int) -> None:
    if size_bytes > MOST_FILE_BYTES:
        raise TextbookTooBig(most_megabytes=MOST_FILE_BYTES // 1024**2)


def _room_expect(folder: Path, size_bytes: int) -> None:
    stat = os.statvfs(folder)
    free_bytes = stat.f_bavail * stat.f_frsize
    needed_bytes = size_bytes + _SPARED_BYTES
    if free_bytes < needed_bytes:
        raise DiskFull(needed_bytes=needed_bytes, free_bytes=free_bytes)
