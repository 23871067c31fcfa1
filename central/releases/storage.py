"""Keep blobs on the centre's disk by their SHA-256: each once, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from federation.trust.durable import durable_rename

PIECE_BYTES = 1024 * 1024
_DEAD_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """A blob that is safely kept."""

    sha256: str
    size_bytes: int


def blob_path(*, root: Path, sha256: str) -> Path:
    """Return where the blob lies under `root`, whether or not it does."""
    return root / sha256[:2] / sha256


def blob_put(*, root: Path, source: Path) -> StoredBlob:
    """Leave the content of `source` under `root` by its SHA-256; one that is there already is not written again."""
    with source.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    path = blob_path(root=root, sha256=sha256)
    size_bytes = source.stat().st_size
    if path.exists() and path.stat().st_size == size_bytes:
        return StoredBlob(sha256=sha256, size_bytes=size_bytes)
    return _copy_durably(source, root)


def blobs_sweep(*, root: Path, now: datetime) -> None:
    """Remove the copies under `root` that a cut has left half-written, which nothing has written to for an hour."""
    for path in root.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # finished, and named otherwise, meanwhile
            if now.timestamp() - path.stat().st_mtime > _DEAD_SECONDS:
                path.unlink()


def _copy_durably(source: Path, root: Path) -> StoredBlob:
    """Name the copy after what was copied, so that a changing source gets no false name."""
    root.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=root, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        digest = hashlib.sha256()
        with source.open("rb") as reader, os.fdopen(handle, "wb") as writer:
            while piece := reader.read(PIECE_BYTES):
                digest.update(piece)
                writer.write(piece)
            writer.flush()
            os.fchmod(writer.fileno(), 0o644)
            os.fsync(writer.fileno())
            size_bytes = writer.tell()
        path = blob_path(root=root, sha256=digest.hexdigest())
        path.parent.mkdir(exist_ok=True)
        durable_rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return StoredBlob(sha256=digest.hexdigest(), size_bytes=size_bytes)
