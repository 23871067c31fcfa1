"""Put a backup back: this PC then has all of the backup's data or all of its own, and can go back for a while.

The rules, in order:
1. Everything is read, proved and brought up to this program's tables beside the data in use, in `restore/new`.
2. What is in use is copied to `restore/before`, and stays there until a person says that the restore works.
3. The change itself is one transaction of SQLite, so the page goes on and a cut leaves the old rows or the new ones.
4. The new rows number their parcels anew (protocol §4.6). By that name one sees whether a cut restore was done.
5. What this PC runs, learns and has heard of the centre is the PC's and not the backup's: those tables keep their rows.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db.migrations.loader import MigrationLoader

from federation.trust.durable import directory_flush, durable_write
from federation.trust.errors import DiskFull
from federation.trust.fetch import RESERVE_BYTES, disk_free_bytes
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from node.backup.database import (
    database_check,
    database_replace,
    epoch_read,
    migrations_check,
    size_estimate,
    snapshot_write,
    tables_carry,
    tables_empty,
)
from node.backup.errors import (
    BackupDamaged,
    BackupOfAnotherSchool,
    BackupUnderWay,
    NodeRunning,
    NothingToUndo,
    RestoreUnsettled,
)
from node.backup.making import LENGTH_BYTES, Contents
from node.backup.places import backup_open, medium_expected
from node.backup.sealed_file import Heading, heading_read, opened_pieces, passphrase_read
from node.backup.work import Heard, Work, WorkKind, WorkStep, is_work_running, work_hold
from node.children import child_environment, command_argv
from node.root import DATABASE_NAME, SECRETS
from node.supervisor import children_restart, supervisor_pid
from node.sync.enrol import enrolment_read
from node.sync.errors import NotEnrolled
from node.sync.locks import stick_alone

KEPT_BY_THE_PC = ("installed_installrecord", "sync_seenassignment", "sync_synclog", "django_session")
"""Of sessions those in force now: who signed out since the backup stays out, and whoever restores stays in."""
JOINED = ("rounds_plan", "rounds_localupdate")
"""What the backup says was learnt stays known, also on another PC; this PC's own rows have files beside them."""
FORGOTTEN_ELSEWHERE = ("installed_installrecord", "sync_seenassignment")
"""Where this PC has no rows of its own to keep: what another PC ran says nothing about this one."""
_WAL = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is being put in the place of what; written before the change, and read after a cut."""

    kind: WorkKind
    epoch: str
    """Of the new rows."""
    made_at: datetime
    has_before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The backup that was put back and may still be undone."""

    made_at: datetime
    restored_at: datetime


class _Folders:
    """Where a restore has its things, under the node's root."""

    def __init__(self, root: Path) -> None:
        self.top = root / "restore"
        self.new, self.before = self.top / "new", self.top / "before"
        self.plan, self.undo = self.top / "plan.json", self.top / "undo.json"


def backup_restore(*, root: Path, source: Path, passphrase: str, clock: Callable[[], datetime]) -> Heading:
    """Return the heading of the backup at `source`, whose data is this PC's now; what was here can come back.

    Raises:
        PassphraseWrong, BackupUnreadable, BackupDamaged, BackupTooNew, BackupOfAnotherSchool: nothing has changed.
        RestoreUnsettled: nobody has said yet whether the last one works.
        DiskFull: there is no room for both; nothing has changed.
        NodeRunning: the database here is damaged, and the program must be ended first.
        StickGone, StickForbidden, BackupUnderWay, BackupStopped, ContactUnderWay: nothing has changed.
    """
    phrase = passphrase_read(passphrase)
    work = Work(kind=WorkKind.RESTORE, file=str(source), started_at=clock())
    with work_hold(root=root, work=work, clock=clock) as heard:
        restore_settle(root=root, now=clock())
        if is_undo_possible(root):
            raise RestoreUnsettled
        folders = _Folders(root)
        _empty(folders)
        try:
            heading = _unpack(root, source, phrase, heard)
            _prove(folders.new, heard)
            has_before = _set_aside(root, heard)
            _change(root, WorkKind.RESTORE, heading.made_at, has_before=has_before, heard=heard)
        except BaseException:
            # Also where somebody stops it: without the new epoch in use nothing has been done.
            restore_settle(root=root, now=clock())
            raise
        restore_settle(root=root, now=clock())
    return heading


def restore_undo(*, root: Path, clock: Callable[[], datetime]) -> None:
    """Give this PC the data that it had before the last restore; the parcels are numbered anew once more.

    Raises:
        NothingToUndo: nothing is kept from before.
        DiskFull, BackupUnderWay, BackupStopped: nothing has changed.
    """
    folders = _Folders(root)
    work = Work(kind=WorkKind.UNDO, started_at=clock())
    with work_hold(root=root, work=work, clock=clock) as heard:
        restore_settle(root=root, now=clock())
        if not is_undo_possible(root):
            raise NothingToUndo
        made_at = undo_read(root).made_at
        kept = folders.before / DATABASE_NAME
        _room_check(root, 3 * size_estimate(kept))
        try:
            (folders.new / "keys").mkdir(parents=True, mode=0o700)
            snapshot_write(
                database=kept, into=folders.new / DATABASE_NAME, heard=lambda done, of: heard(WorkStep.READ, done, of)
            )
            _secrets_copy(folders.before / "keys", folders.new / "keys")
            _prove(folders.new, heard)
            _change(root, WorkKind.UNDO, made_at, has_before=True, heard=heard)
        finally:
            restore_settle(root=root, now=clock())


def restore_keep(*, root: Path) -> None:
    """Take the data from before the last restore away: somebody has seen that it works.

    Raises:
        BackupUnderWay: it is being given back at this moment.
        NothingToUndo: there is none; what a restore that runs has copied is not touched.
    """
    if is_work_running(root):
        raise BackupUnderWay
    if not is_undo_possible(root):
        raise NothingToUndo
    folders = _Folders(root)
    folders.undo.unlink(missing_ok=True)
    shutil.rmtree(folders.before, ignore_errors=True)


def is_undo_possible(root: Path) -> bool:
    """Return whether a backup was put back and nobody has said yet that it works."""
    return _Folders(root).undo.exists()


def undo_read(root: Path) -> Restored:
    """Return what was put back last and can be undone.

    Raises:
        NothingToUndo: there is none.
    """
    try:
        return parse(Restored, _Folders(root).undo.read_bytes())
    except (FileNotFoundError, MalformedDocument) as error:
        raise NothingToUndo from error


def restore_settle(*, root: Path, now: datetime) -> None:
    """Bring to its end what a cut has left of a restore: done where its rows are in use, else as if never begun.

    Only for whoever holds the right to make backups, or knows that nobody does: as the program starts.
    """
    folders = _Folders(root)
    try:
        plan = parse(_Plan, folders.plan.read_bytes())
    except (FileNotFoundError, MalformedDocument):
        plan = None
    if plan is not None and epoch_read(root / DATABASE_NAME) == plan.epoch:
        _finish(root, plan, now)
    elif folders.top.exists():
        if not is_undo_possible(root):
            shutil.rmtree(folders.before, ignore_errors=True)
        shutil.rmtree(folders.new, ignore_errors=True)
        folders.plan.unlink(missing_ok=True)


def _finish(root: Path, plan: _Plan, now: datetime) -> None:
    folders = _Folders(root)
    is_changed = _secrets_copy(folders.new / "keys", root / "keys")
    if plan.kind is WorkKind.UNDO:
        folders.undo.unlink(missing_ok=True)
        shutil.rmtree(folders.before, ignore_errors=True)
    elif plan.has_before:
        durable_write(folders.undo, canonical_bytes(Restored(made_at=plan.made_at, restored_at=now)))
    shutil.rmtree(folders.new, ignore_errors=True)
    folders.plan.unlink(missing_ok=True)
    if is_changed:
        # Processes read the secret as they start.
        children_restart(root=root, names=("page", "sync"))


def _empty(folders: _Folders) -> None:
    for folder in (folders.new, folders.before):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "keys").mkdir(parents=True, mode=0o700)
    folders.top.chmod(0o700)


def _unpack(root: Path, source: Path, passphrase: bytes, heard: Heard) -> Heading:
    """Leave database and secrets of the backup in `restore/new`."""
    with medium_expected(source.parent, needed_bytes=0):
        stream = backup_open(source)
        with stream:
            size = source.stat().st_size
            heading = heading_read(stream)
            _school_check(root, heading)
            _room_check(root, 2 * size + _in_use_bytes(root))
            pieces = _told(opened_pieces(stream=stream, heading=heading, passphrase=passphrase), size, heard)
            _content_write(pieces, _Folders(root).new)
    return heading


def _told(pieces: Iterator[bytes], total: int, heard: Heard) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        heard(WorkStep.READ, min(done, total), total)


def _content_write(pieces: Iterator[bytes], into: Path) -> None:
    buffered = bytearray(next(pieces))
    end = LENGTH_BYTES + int.from_bytes(buffered[:LENGTH_BYTES], "big")
    try:
        contents = parse(Contents, bytes(buffered[LENGTH_BYTES:end]))
    except MalformedDocument as error:
        raise BackupDamaged(problem=str(error)) from error
    for name in SECRETS:
        if name in contents.secrets:
            durable_write(into / "keys" / name, contents.secrets[name].encode("ascii"), mode=0o600)
    with (into / DATABASE_NAME).open("wb") as stream:
        stream.write(buffered[end:])
        for piece in pieces:
            stream.write(piece)
        size = stream.tell()
    if size != contents.database_bytes:
        raise BackupDamaged(size_bytes=size, expected_bytes=contents.database_bytes)


def _school_check(root: Path, heading: Heading) -> None:
    try:
        here = enrolment_read(root)
    except NotEnrolled:
        return
    if heading.node_id and heading.node_id != here.node_id and heading.school != here.school:
        raise BackupOfAnotherSchool(school=heading.school)


def _in_use_bytes(root: Path) -> int:
    return sum(_size(root / f"{DATABASE_NAME}{end}") for end in _WAL)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _room_check(root: Path, needed_bytes: int) -> None:
    free_bytes = disk_free_bytes(root)
    if free_bytes < needed_bytes + RESERVE_BYTES:
        raise DiskFull(needed_bytes=needed_bytes + RESERVE_BYTES, free_bytes=free_bytes)


def _prove(folder: Path, heard: Heard) -> None:
    """Return when the database in `folder` is sound, has this program's tables, and numbers its parcels anew."""
    heard(WorkStep.CHECK, 0, 0)
    database_check(folder / DATABASE_NAME)
    migrations_check(folder / DATABASE_NAME, known=set(MigrationLoader(None).disk_migrations))
    heard(WorkStep.SETTLE, 0, 0)
    # In a process for which `folder` is the node's root: migrations and services write there as they do anywhere.
    settled = subprocess.run(
        command_argv("backup", "settle"), env=child_environment(folder), capture_output=True, text=True, check=False
    )
    if settled.returncode:
        raise BackupDamaged(problem=settled.stderr.strip()[-200:])


def _set_aside(root: Path, heard: Heard) -> bool:
    """Copy what is in use to `restore/before`; return whether there was anything that can come back."""
    folders, database = _Folders(root), root / DATABASE_NAME
    if not database.exists():
        return False
    try:
        snapshot_write(
            database=database,
            into=folders.before / DATABASE_NAME,
            heard=lambda done, of: heard(WorkStep.ASIDE, done, of),
        )
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        _damaged_move(root)
        return False
    _secrets_copy(root / "keys", folders.before / "keys")
    return True


def _damaged_move(root: Path) -> None:
    """Put a database that SQLite cannot read out of the way, whole, for whoever might still find something in it."""
    if pid := supervisor_pid(root):
        raise NodeRunning(pid=pid)
    away = root / "damaged"
    shutil.rmtree(away, ignore_errors=True)
    away.mkdir(mode=0o700)
    for end in _WAL:
        path = root / f"{DATABASE_NAME}{end}"
        if path.exists():
            path.replace(away / path.name)


def _change(root: Path, kind: WorkKind, made_at: datetime, *, has_before: bool, heard: Heard) -> None:
    """Put the rows of `restore/new` into use."""
    folders, database = _Folders(root), root / DATABASE_NAME
    new = folders.new / DATABASE_NAME
    # A contact that is under way would tell the centre of parcels by their old numbers; it lets go as for a stick.
    with stick_alone(root):
        if database.exists():
            tables_carry(replaced=KEPT_BY_THE_PC, merged=JOINED, source=database, into=new)
        else:
            tables_empty(tables=FORGOTTEN_ELSEWHERE, database=new)
        plan = _Plan(kind=kind, epoch=epoch_read(new), made_at=made_at, has_before=has_before)
        directory_flush(folders.before if has_before else folders.new)
        durable_write(folders.plan, canonical_bytes(plan))
        database_replace(source=new, target=database, heard=lambda done, of: heard(WorkStep.SWAP, done, of))


def _secrets_copy(source: Path, into: Path) -> bool:
    """Make the secrets in `into` those in `source`, as far as there are any; return whether Django's has changed."""
    is_changed = False
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in SECRETS:
        given, path = source / name, into / name
        if not given.exists() or (path.exists() and path.read_bytes() == given.read_bytes()):
            continue
        durable_write(path, given.read_bytes(), mode=0o600)
        is_changed = is_changed or name == SECRETS[0]
    return is_changed
