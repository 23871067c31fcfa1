"""Copy what the centre keeps on its disk: files with the embedded database to one place, keys to another.

Rules, in order: the database first, because files that it does not name yet do no harm; release metadata under its own
lock; what can be made or sent again is left out; keys never lie beside what they vouch for, and offline keys nowhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from django.db import connection

from central.backup.errors import BackupPlaceTaken
from central.backup.mirror import Copied, file_copy, folder_mirror, sqlite_copy
from central.disk import CentreDisk
from federation.trust.durable import durable_write
from federation.trust.tuf_files import RepositoryFiles

MARK = "backup.json"
OFFLINE = "offline"
"""The folder of keys that a trial has on the server; in production they lie in safes."""


class BackupKind(StrEnum):
    """What a folder of a backup holds."""

    FILES = "files"
    KEYS = "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupMade:
    """A backup that is whole."""

    kind: BackupKind
    made_at: datetime
    copied: Copied


def files_backup(*, disk: CentreDisk, place: Path, now: datetime) -> BackupMade:
    """Leave in `place` what a centre on PostgreSQL keeps on its disk, and of an embedded one the database too.

    Laid out as under the centre's own root. The same place again takes what is new.

    Raises:
        BackupPlaceTaken: something else lies there; nothing is changed.
    """
    _place_claim(place, BackupKind.FILES)
    copied = Copied()
    for source in _databases(disk):
        copied += sqlite_copy(source=source, into=place / source.relative_to(disk.root))
    with RepositoryFiles(disk.tuf).locked():
        copied += _mirror(disk, disk.tuf, place)
    for folder in (disk.blobs, disk.updates, disk.velocities):
        copied += _mirror(disk, folder, place)
    return _made(place, BackupKind.FILES, copied, now)


def keys_backup(*, disk: CentreDisk, place: Path, now: datetime) -> BackupMade:
    """Leave in `place` the keys that lie on the server, and those of its SuperLinks.

    Raises:
        BackupPlaceTaken: something else lies there, such as a backup of the files; nothing is changed.
    """
    _place_claim(place, BackupKind.KEYS)
    copied = folder_mirror(source=disk.keys, into=place / disk.keys.relative_to(disk.root), but=[OFFLINE])
    for folder in _superlinks(disk):
        copied += _mirror(disk, folder / "tls", place)
        secret = folder / "superexec.secret"
        copied += file_copy(source=secret, into=place / secret.relative_to(disk.root))
    return _made(place, BackupKind.KEYS, copied, now)


def _mirror(disk: CentreDisk, folder: Path, place: Path) -> Copied:
    return folder_mirror(source=folder, into=place / folder.relative_to(disk.root))


def _databases(disk: CentreDisk) -> list[Path]:
    superlinks = [folder / "superlink.sqlite3" for folder in _superlinks(disk)]
    # One that is left of a trial says nothing about a centre on PostgreSQL.
    own = [disk.database] if connection.vendor == "sqlite" else []
    return [path for path in (*own, *superlinks) if path.is_file()]


def _superlinks(disk: CentreDisk) -> list[Path]:
    return [path for path in (disk.superlink, *sorted(disk.superlinks.glob("*"))) if path.is_dir()]


def _place_claim(place: Path, kind: BackupKind) -> None:
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        held = json.loads((place / MARK).read_text("utf-8")).get("kind")
    except FileNotFoundError:
        held = "another" if any(place.iterdir()) else kind
    if held != kind:
        raise BackupPlaceTaken(place=str(place), kind=kind.value)
    if not (place / MARK).exists():
        _mark(place, kind, None)


def _made(place: Path, kind: BackupKind, copied: Copied, now: datetime) -> BackupMade:
    _mark(place, kind, now)
    return BackupMade(kind=kind, made_at=now, copied=copied)


def _mark(place: Path, kind: BackupKind, made_at: datetime | None) -> None:
    said = {"kind": kind.value, "made_at": made_at.isoformat() if made_at else None}
    durable_write(place / MARK, json.dumps(said).encode(), mode=0o600)
