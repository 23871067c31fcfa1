"""How old the centre's copies are, and which are too old: told by the copies themselves, and of its log by PostgreSQL.

A copy that was not made tells nothing, so each kind has a term, and one that nobody finds is late as well. The keys'
copy lies in a safe, where no program looks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from django.db import connection
from django.db.backends.utils import CursorWrapper

from central.backup.services import MARK, BackupKind


class Copy(StrEnum):
    """What is copied; for machines, so it never changes."""

    DATABASE = "database"
    LOG = "log"
    """PostgreSQL's, by which a copy of the database comes to any later moment."""
    FILES = "files"


LATE_AFTER: Mapping[Copy, timedelta] = MappingProxyType(
    {
        # Each night, and a morning for a machine that was without power.
        Copy.DATABASE: timedelta(hours=30),
        # Within a minute (deploy/postgresql), and a reboot of the machine that keeps it.
        Copy.LOG: timedelta(minutes=15),
        # Each quarter of an hour; the first copy of a release takes longer.
        Copy.FILES: timedelta(hours=1),
    }
)
DATABASE_MARK = "database.json"
"""What deploy/backup/soro-backup-database leaves behind a base backup that is whole and verified."""
IDLE_BYTES = 64 * 1024
"""So little of the log tells of nobody's work: PostgreSQL's own notes, which it archives with the next."""
_SEGMENT = re.compile(r"[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})")
_ARCHIVED = """
SELECT last_archived_time, last_archived_wal, clock_timestamp(), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,
    (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')
FROM pg_stat_archiver
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyAge:
    """When the newest copy was whole; `None`: nobody finds one."""

    copy: Copy
    made_at: datetime | None

    def is_late(self, now: datetime) -> bool:
        """Tell whether a newer one should be there by now."""
        return self.made_at is None or now - self.made_at > LATE_AFTER[self.copy]


def copies_read(place: Path | None) -> tuple[CopyAge, ...]:
    """Return each copy that this centre should have under `place`; where none is named, nobody looks for any.

    An embedded centre's database is one of its files.
    """
    if place is None:
        return ()
    files = CopyAge(copy=Copy.FILES, made_at=_marked(place / BackupKind.FILES / MARK))
    if connection.vendor != "postgresql":
        return (files,)
    with connection.cursor() as cursor:
        archived_at = archive_read(cursor)
    return (
        CopyAge(copy=Copy.DATABASE, made_at=_marked(place / DATABASE_MARK)),
        CopyAge(copy=Copy.LOG, made_at=archived_at),
        files,
    )


def archive_read(cursor: CursorWrapper) -> datetime | None:
    """Return up to when PostgreSQL has its log in the archive: until now, where nothing has been written since.

    A database in which nobody works archives nothing, and lacks nothing.
    """
    cursor.execute(_ARCHIVED)
    archived_at, segment, now, written, segment_bytes = cursor.fetchone()
    ends = _segment_end(segment or "", segment_bytes)
    is_all = ends is not None and written - ends < IDLE_BYTES
    found: datetime | None = now if is_all else archived_at
    return found


def _segment_end(name: str, segment_bytes: int) -> int | None:
    """Return where in the log the segment of that name ends; `None`: it names a note about a backup or a timeline."""
    found = _SEGMENT.fullmatch(name)
    return (int(found[1], 16) << 32) + (int(found[2], 16) + 1) * segment_bytes if found else None


def _marked(path: Path) -> datetime | None:
    """Return when a backup was made that left its mark; one that cannot be read is none."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))["made_at"]
        return datetime.fromisoformat(said) if said else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
