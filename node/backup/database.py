"""What backups need of SQLite: a whole copy of a database in use, and a whole database in the place of another.

Both are SQLite's own transactions, so that the page goes on meanwhile and a cut leaves the old rows or the new ones.
Sources: SQLite, «VACUUM», «Online Backup API»; the destination of a backup changes in one write transaction.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from federation.trust.errors import DiskFull
from node.backup.errors import BackupDamaged, BackupTooNew

Heard = Callable[[int, int], None]
"""Told how many bytes of how many are done; may raise to end the work."""
LOCK_SECONDS = 20.0
_STEPS_BETWEEN_LOOKS = 20_000
_PAGES_AT_ONCE = 512


def size_estimate(database: Path) -> int:
    """Return how many bytes a copy will have at most."""
    with _opened(database) as opened:
        pages, size = (opened.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)


def snapshot_write(*, database: Path, into: Path, heard: Heard) -> None:
    """Leave at `into` a copy of one moment of `database`, which others may go on writing; deleted words are not in it.

    Raises:
        DiskFull: there is no room for it.
        sqlite3.DatabaseError: the database is damaged.
    """
    total = size_estimate(database)
    with _opened(database) as opened, _watched(opened, into, total, heard), _room_expected(total):
        opened.execute("VACUUM INTO ?", (str(into),))
    # SQLite does not flush what it copies so.
    with into.open("rb") as stream:
        os.fsync(stream.fileno())
    heard(total, total)


def database_check(database: Path) -> None:
    """Return if every page of the database is in order.

    Raises:
        BackupDamaged: one is not.
    """
    try:
        with _opened(database) as opened:
            (word,) = opened.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise BackupDamaged(problem=str(error)) from error
    if word != "ok":
        raise BackupDamaged(problem=str(word)[:200])


def migrations_check(database: Path, *, known: set[tuple[str, str]]) -> None:
    """Return if this program knows all that was done to the tables.

    Raises:
        BackupTooNew: a later program has changed them.
    """
    with _opened(database) as opened:
        done = set(opened.execute("SELECT app, name FROM django_migrations"))
    if unknown := sorted(done - known):
        raise BackupTooNew(migration=".".join(unknown[0]))


def epoch_read(database: Path) -> str:
    """Return the name of the database's numbering of parcels; empty where there is none, or no database."""
    if not database.exists():
        return ""
    try:
        with _opened(database) as opened:
            found = opened.execute("SELECT name FROM outbox_epoch").fetchone()
    except sqlite3.DatabaseError:
        return ""
    return str(found[0]) if found else ""


def tables_carry(*, replaced: Sequence[str], merged: Sequence[str], source: Path, into: Path) -> None:
    """Make the rows of the tables `replaced` in `into` those of `source`; of `merged` both have theirs, `source` first.

    Both databases have the same columns.
    """
    with _opened(into) as opened:
        opened.execute("ATTACH ? AS source", (str(source),))
        with opened:
            for table in replaced:
                opened.execute(f"DELETE FROM main.{table}")  # nosec B608 # noqa: S608 - names of our own tables
            for table in (*replaced, *merged):
                # By name: a table that was made anew by a migration may have its columns in another order.
                columns = ", ".join(f'"{row[1]}"' for row in opened.execute(f"PRAGMA main.table_info({table})"))
                opened.execute(
                    f"INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM source.{table}"  # nosec B608 # noqa: S608
                )


def tables_empty(*, tables: Sequence[str], database: Path) -> None:
    """Leave no row in `tables`."""
    with _opened(database) as opened, opened:
        for table in tables:
            opened.execute(f"DELETE FROM {table}")  # nosec B608 # noqa: S608 - names of our own tables


def database_replace(*, source: Path, target: Path, heard: Heard) -> None:
    """Make `target` what `source` is, at one moment, for all who have it open; before that, and after a cut, nothing.

    Raises:
        DiskFull: there is no room for it; the target is as it was.
        sqlite3.OperationalError: others wrote for so long that the lock was not to be had; the target is as it was.
    """
    size = source.stat().st_size
    moved_at = time.monotonic()

    def progress(status: int, remaining: int, total: int) -> None:
        nonlocal moved_at
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            if time.monotonic() - moved_at > LOCK_SECONDS:
                raise sqlite3.OperationalError("database is locked")
            return
        moved_at = time.monotonic()
        heard((total - remaining) * size // max(1, total), size)

    with _opened(source) as given, _opened(target) as taken, _room_expected(size):
        taken.execute("PRAGMA synchronous=FULL")
        given.backup(taken, pages=_PAGES_AT_ONCE, progress=progress)


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database, timeout=LOCK_SECONDS)) as opened:
        yield opened


@contextmanager
def _watched(opened: sqlite3.Connection, into: Path, total: int, heard: Heard) -> Iterator[None]:
    """Tell how far a copy has grown; what `heard` raises ends the copying and is raised here."""
    raised: list[BaseException] = []

    def look() -> int:
        try:
            heard(min(total, into.stat().st_size if into.exists() else 0), total)
        except BaseException as error:  # noqa: BLE001 - SQLite would swallow it; it is raised below
            raised.append(error)
        return len(raised)

    opened.set_progress_handler(look, _STEPS_BETWEEN_LOOKS)
    try:
        yield
    except sqlite3.OperationalError:
        if raised:
            raise raised[0] from None
        raise
    finally:
        opened.set_progress_handler(None, 0)


@contextmanager
def _room_expected(needed_bytes: int) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise DiskFull(needed_bytes=needed_bytes, free_bytes=0) from error
        raise
