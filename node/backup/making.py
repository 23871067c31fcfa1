"""Make a backup: one moment of the database and the school's secrets, sealed by a passphrase, proved after writing.

What is in it: accounts, conversations, ratings, parcels and settings, all in one SQLite file, and the two secrets under
which PINs and pseudonyms are kept. What is not: releases, which come again, and the key of this PC, because who a PC is
is said by the ministry and not by a file that is carried about (decision 0098).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from federation.trust.durable import directory_flush
from federation.trust.errors import DiskFull
from federation.trust.fetch import RESERVE_BYTES, disk_free_bytes
from federation.trust.stick_errors import StickFull
from federation.wire.canonical import canonical_bytes
from node.backup.database import size_estimate, snapshot_write
from node.backup.errors import BackupNotProved
from node.backup.places import PART, SUFFIX, backup_newest_note, file_name, medium_expected
from node.backup.sealed_file import Heading, passphrase_read, sealed_pieces
from node.backup.work import Heard, Work, WorkKind, WorkStep, work_hold
from node.root import DATABASE_NAME, SECRETS, secret_read
from node.sync.enrol import enrolment_read
from node.sync.errors import NotEnrolled

PIECE_BYTES = 1024 * 1024
FLUSHED_BYTES = 16 * PIECE_BYTES
LENGTH_BYTES = 4
_SNAPSHOT_NAME = "backup-snapshot.sqlite3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What stands before the database in the sealed content: its length (4 bytes, big-endian), then canonical JSON."""

    secrets: dict[str, str]
    """By file name in `keys/`."""
    database_bytes: int


def backup_make(*, root: Path, folder: Path, passphrase: str, clock: Callable[[], datetime]) -> Path:
    """Return the new backup in `folder`; it is there whole and proved, or not at all.

    Raises:
        PassphraseRefused: too short.
        DiskFull, StickFull: nothing was begun, or nothing is left of it.
        StickForbidden, StickGone: the folder's medium cannot be written, or was pulled out.
        BackupNotProved: the medium does not hold what was written on it.
        BackupUnderWay, BackupStopped: as `work_hold`.
    """
    phrase, now = passphrase_read(passphrase), clock()
    node_id, school = _who(root)
    target = folder / file_name(node_id=node_id, made_at=now)
    work = Work(kind=WorkKind.MAKE, file=str(target), started_at=now)
    with work_hold(root=root, work=work, clock=clock) as heard:
        size = size_estimate(root / DATABASE_NAME)
        with medium_expected(folder, needed_bytes=size):
            folder.mkdir(exist_ok=True, mode=0o700)
            _leftovers_remove(root, folder)
            _room_check(root, folder, size)
        snapshot = root / _SNAPSHOT_NAME
        try:
            snapshot_write(
                database=root / DATABASE_NAME, into=snapshot, heard=lambda done, of: heard(WorkStep.COPY, done, of)
            )
            heading = Heading(made_at=now, school=school, node_id=node_id, salt=secrets.token_bytes(16))
            sealed = sealed_pieces(heading=heading, passphrase=phrase, content=_content(root, snapshot))
            _write_proved(sealed, target, snapshot.stat().st_size, heard)
        finally:
            snapshot.unlink(missing_ok=True)
        backup_newest_note(root=root, made_at=now)
    return target


def _who(root: Path) -> tuple[str, str]:
    try:
        enrolment = enrolment_read(root)
    except NotEnrolled:
        return "", ""
    return enrolment.node_id, enrolment.school


def _leftovers_remove(root: Path, folder: Path) -> None:
    """Remove what a cut has left: nobody else is at work, and an unfinished backup is worth nothing."""
    (root / _SNAPSHOT_NAME).unlink(missing_ok=True)
    for part in folder.glob(f".*{SUFFIX}{PART}"):
        part.unlink()


def _room_check(root: Path, folder: Path, size_bytes: int) -> None:
    is_one_disk = root.stat().st_dev == folder.stat().st_dev
    needed, free = size_bytes * (1 + is_one_disk) + RESERVE_BYTES, disk_free_bytes(root)
    if free < needed:
        raise DiskFull(needed_bytes=needed, free_bytes=free)
    free = disk_free_bytes(folder)
    if not is_one_disk and free < size_bytes + PIECE_BYTES:
        raise StickFull(needed_bytes=size_bytes + PIECE_BYTES, free_bytes=free)


def _content(root: Path, snapshot: Path) -> Iterator[bytes]:
    kept = {name: secret_read(root / "keys" / name) for name in SECRETS}
    words = canonical_bytes(Contents(secrets=kept, database_bytes=snapshot.stat().st_size))
    yield len(words).to_bytes(LENGTH_BYTES, "big") + words
    with snapshot.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            yield piece


def _write_proved(pieces: Iterator[bytes], target: Path, total: int, heard: Heard) -> None:
    """Leave `pieces` at `target`, flushed, read back and only then named."""
    part = target.with_name(f".{target.name}{PART}")
    with medium_expected(target.parent, needed_bytes=total):
        try:
            written = _write(pieces, part, total, heard)
            _proof_expect(written, _read_back(part, total, heard), target)
            part.replace(target)
            _folder_flush(target.parent)
        except BaseException:
            # Where the stick is gone, so is the part.
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def _proof_expect(written: str, read: str, target: Path) -> None:
    if read != written:
        raise BackupNotProved(file=str(target))


def _write(pieces: Iterator[bytes], part: Path, total: int, heard: Heard) -> str:
    digest, done, flushed = hashlib.sha256(), 0, 0
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        for piece in pieces:
            stream.write(piece)
            digest.update(piece)
            done += len(piece)
            if done - flushed >= FLUSHED_BYTES:
                # Else the bar stands at the end for minutes, while a slow stick takes what the kernel has kept for it.
                stream.flush()
                os.fdatasync(stream.fileno())
                flushed = done
            heard(WorkStep.WRITE, min(done, total), total)
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()


def _read_back(part: Path, total: int, heard: Heard) -> str:
    digest, done = hashlib.sha256(), 0
    with part.open("rb") as stream:
        # From the medium, and not from the memory in which it was written.
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
            done += len(piece)
            heard(WorkStep.PROVE, min(done, total), total)
    return digest.hexdigest()


def _folder_flush(folder: Path) -> None:
    try:
        directory_flush(folder)
    except OSError as error:
        # Some file systems in user space cannot flush a folder; the file itself was flushed.
        if error.errno != errno.EINVAL:
            raise
