"""The school's database around a change of program: a copy from before, and the way back to it.

Without a migration the database in use is as good for the older program as the copy, and stays. After one, the older
program gets the copy back: rows that were written under the newer one, minutes old, are then not in use any more. They
are kept beside it as `given-up.sqlite3` until the next change. Parcels are numbered anew then, because the centre may
have had some of them.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from federation.trust.durable import durable_rename
from node.backup.database import database_replace, snapshot_write
from node.programs.services import FOLDER
from node.root import DATABASE_NAME

BEFORE, GIVEN_UP = "before.sqlite3", "given-up.sqlite3"


def before_path(data: Path) -> Path:
    """Return where the copy from before the change lies."""
    return data / FOLDER / BEFORE


def before_keep(data: Path) -> None:
    """Leave a copy of the database as it is now; called while nobody writes to it."""
    # One of an earlier change must never be put back in the place of what was written since.
    for name in (BEFORE, GIVEN_UP):
        (data / FOLDER / name).unlink(missing_ok=True)
    if (data / DATABASE_NAME).exists():
        copy_write(data / DATABASE_NAME, before_path(data))


def before_put_back(data: Path) -> bool:
    """Let the database in use be one that the older program knows; return whether rows had to be left aside for it."""
    before, live = before_path(data), data / DATABASE_NAME
    if not before.exists() or migrations_done(before) == migrations_done(live):
        return False
    copy_write(live, before.with_name(GIVEN_UP))
    renewed = before.with_name(f"{BEFORE}.renewed")
    copy_write(before, renewed)
    _number_anew(renewed)
    database_replace(source=renewed, target=live, heard=_nobody)
    renewed.unlink()
    return True


def before_forget(data: Path) -> None:
    """Take the copy away: nobody goes back to it any more, and words that are deleted are to be gone."""
    before_path(data).unlink(missing_ok=True)


def copy_write(database: Path, into: Path) -> None:
    """Leave a whole copy of `database` at `into`: after a cut the older copy or the new one."""
    draft = into.with_name(f"{into.name}.draft")
    draft.unlink(missing_ok=True)
    snapshot_write(database=database, into=draft, heard=_nobody)
    durable_rename(draft, into)


def migrations_done(database: Path) -> set[tuple[str, str]]:
    """Return the migrations that were applied to `database`."""
    with closing(sqlite3.connect(database)) as opened:
        return set(opened.execute("SELECT app, name FROM django_migrations"))


def _number_anew(database: Path) -> None:
    """Do as `node.outbox.services.epoch_renew`, on a database that is not in use."""
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("UPDATE outbox_epoch SET name = ?", (uuid.uuid4().hex,))
        opened.execute("UPDATE outbox_parcel SET is_acknowledged = 0")


def _nobody(_done: int, _total: int) -> None:
    """Hear nothing."""
