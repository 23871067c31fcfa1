"""Where backups lie: in a folder of their own on this PC, and on any stick; and which are there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from federation.errors import FederationError
from federation.trust.durable import durable_write
from federation.trust.stick_errors import StickForbidden, StickFull, StickGone
from federation.trust.stick_media import Medium
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from node.backup.sealed_file import heading_read

SUFFIX, PART = ".soro-backup", ".part"
FOLDER_ON_STICK = "soro-backups"
NEWEST_NAME = "backup-newest.json"
MOST_LISTED = 50
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFile:
    """A backup that lies somewhere; its content may still be damaged."""

    path: Path
    medium: str
    """The stick's name; empty: this PC."""
    made_at: datetime
    school: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Newest:
    made_at: datetime


def local_folder(root: Path) -> Path:
    """Return the folder of this PC's own backups."""
    return root / "backups"


def stick_folder(place: Path) -> Path:
    """Return the folder of backups on the stick that is mounted at `place`."""
    return place / FOLDER_ON_STICK


def file_name(*, node_id: str, made_at: datetime) -> str:
    """Return a backup's name: letters that every file system has, in order of time."""
    return f"{node_id[:8] or 'school'}-{made_at.astimezone(UTC):%Y%m%d-%H%M%S}{SUFFIX}"


def backups_find(*, root: Path, media: Sequence[Medium]) -> tuple[BackupFile, ...]:
    """Return the backups on this PC and on `media`, the newest first; what cannot be read is passed over."""
    places = [("", local_folder(root)), *((medium.name, stick_folder(medium.place)) for medium in media)]
    found = [file for name, folder in places for file in _in_folder(folder, name)]
    return tuple(sorted(found, key=lambda file: file.made_at, reverse=True))


def backup_newest_note(*, root: Path, made_at: datetime) -> None:
    """Remember that a backup was made, wherever it is carried."""
    durable_write(root / NEWEST_NAME, canonical_bytes(_Newest(made_at=made_at)))


def backup_newest_at(root: Path) -> datetime | None:
    """Return when the newest backup of this PC's data was made."""
    try:
        return parse(_Newest, (root / NEWEST_NAME).read_bytes()).made_at
    except (FileNotFoundError, MalformedDocument):
        return None


@contextmanager
def medium_expected(folder: Path, *, needed_bytes: int) -> Iterator[None]:
    """Turn what the file system of a medium says into the errors that sticks have.

    Raises:
        StickFull, StickForbidden, StickGone: by the errno.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StickFull(needed_bytes=needed_bytes, free_bytes=0) from error
        if error.errno in _FORBIDDEN:
            raise StickForbidden(place=str(folder)) from error
        raise StickGone(place=str(folder), problem=errno.errorcode.get(error.errno or 0, "")) from error


def _in_folder(folder: Path, medium: str) -> Iterator[BackupFile]:
    try:
        paths = sorted(folder.glob(f"*{SUFFIX}"), reverse=True)[:MOST_LISTED]
    except OSError:
        return
    for path in paths:
        try:
            with backup_open(path) as stream:
                heading, size_bytes = heading_read(stream), os.fstat(stream.fileno()).st_size
        except (OSError, FederationError):
            continue
        yield BackupFile(
            path=path, medium=medium, made_at=heading.made_at, school=heading.school, size_bytes=size_bytes
        )


def backup_open(path: Path) -> BinaryIO:
    """Return the open plain file at `path`; a link on a stick leads nowhere, and a pipe is not waited for.

    Raises:
        OSError: there is none.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, "not a plain file", str(path))
    return os.fdopen(handle, "rb")
