"""What a bundle tells: facts that are listed here one by one, so that what is added to the node later does not leave.

Of tables only such columns are read as hold numbers, times, digests, and codes of this program; a column for words is
never read. A code that is none is «…».
"""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import stat
import sys
from collections.abc import Mapping
from datetime import datetime, time
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.db import DatabaseError, connection, models

from federation.errors import FederationError
from federation.wire.canonical import sha256_hex, to_plain
from node.diagnosis.log_lines import HIDDEN
from node.https.services import switch_read
from node.installed.hardware import hardware_measure
from node.installed.models import InstallRecord
from node.outbox.models import Parcel
from node.people.models import SchoolRules
from node.root import DATABASE_NAME, SECRETS
from node.rounds.models import LearningSettings, LocalUpdate
from node.status import status_read
from node.stick.models import StickTrip
from node.sync.claim import is_claim_kept
from node.sync.enrol import enrolment_read
from node.sync.models import LinkSettings, SyncLog
from node.textbooks.models import Textbook

MOST_ROWS = 400
PACKAGES = (
    "soro-schools",
    "Django",
    "uvicorn",
    "onnxruntime",
    "tokenizers",
    "numpy",
    "tuf",
    "cryptography",
    "torch",
    "flwr",
)
FOLDERS = (
    "backups", "damaged", "downloads", "flower", "https", "keys", "logs", "programs", "releases", "restore", "rounds",
    "textbooks", "tuf",
)  # fmt: skip
SWITCHES = ("SORO_NODE_TRAINS_AT_NIGHT", "SORO_NODE_FLOWER", "SORO_NODE_PROXIES", "SORO_NODE_DEBUG", "SORO_PORT")
"""Settings whose value may be told; of all others only that they are set."""
_CODE = re.compile(r"[a-z0-9_.:-]{0,64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{5,15}(?:Z|[+-]\d\d:\d\d)?")


def versions() -> dict[str, Any]:
    """Return which program on which system this is."""
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "system": _system_name(),
        "sqlite": sqlite3.sqlite_version,
        "program": Path(sys.prefix).parent.name,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def machine(root: Path) -> dict[str, Any]:
    """Return what this PC can carry, and how busy it is."""
    return {**to_plain(hardware_measure(root)), "load": os.getloadavg(), "uptime_seconds": _uptime_seconds()}


def status(root: Path, now: datetime) -> dict[str, Any]:
    """Return what the status page shows: of its words those of the ministry, the names of school and release."""
    read = status_read(root=root, now=now)
    return {**_codes_alone(to_plain(read)), "school": read.school, "title": read.title}


def centre(root: Path) -> dict[str, Any]:
    """Return where the centre is, and by what it is known; an address that holds a password loses it."""
    try:
        enrolment = enrolment_read(root)
    except FederationError as error:
        return {"enrolment": error.code, "has_claim": is_claim_kept(root)}
    found = urlsplit(enrolment.central_url)
    return {
        "enrolment": "enrolled",
        "address": f"{found.scheme}://{found.hostname}:{found.port or ''}" if found.hostname else "",
        "authority_sha256": sha256_hex(enrolment.authority.encode()) if enrolment.authority else "",
        "address_written_at": to_plain(enrolment.address_written_at),
        "has_fleet": enrolment.fleet is not None,
    }


def settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what people have set, without names and reasons."""
    return {
        "environment": {name: _setting(name, environ[name]) for name in sorted(environ) if name.startswith("SORO_")},
        "link": _rows(
            LinkSettings.objects.all(), "cap_kbit_s", "cap_from", "cap_until", "opens_at", "closes_at", "is_shared"
        ),
        "learning": _rows(LearningSettings.objects.all(), "opens_at", "closes_at", "idle_minutes", "stopped_at"),
        "people": _rows(SchoolRules.objects.all(), "allows_guests"),
    }


def contacts() -> list[dict[str, Any]]:
    """Return the newest steps of contacts, without their words."""
    columns = ("tick", "step", "started_at", "seconds", "bytes_up", "bytes_down", "error_code")
    return _rows(SyncLog.objects.order_by("-started_at", "-pk"), *columns)


def installs() -> list[dict[str, Any]]:
    """Return how far this PC came with each release."""
    columns = ("release", "sequence", "status", "error_code", "bytes_fetched", "at", "is_reported")
    return _rows(InstallRecord.objects.all(), *columns)


def learning() -> list[dict[str, Any]]:
    """Return how the learning of each plan went."""
    columns = (
        "plan_id", "counter", "status", "labels", "size_bytes", "seconds", "error_code", "started_at", "finished_at",
    )  # fmt: skip
    return _rows(LocalUpdate.objects.order_by("-counter"), *columns)


def sticks() -> list[dict[str, Any]]:
    """Return how trips with sticks went, without where the sticks were and what they said."""
    columns = ("way", "status", "step", "bytes_done", "bytes_total", "error_code", "started_at", "ended_at")
    return _rows(StickTrip.objects.order_by("-started_at"), *columns)


def textbooks() -> list[dict[str, Any]]:
    """Return how the reading of each book ended, without its title."""
    return _rows(Textbook.objects.order_by("pk"), "pk", "status", "error_code")


def tables(root: Path) -> dict[str, Any]:
    """Return how many rows each table has, how large the database is, and whether SQLite finds it whole."""
    with connection.cursor() as cursor:
        counts = {name: _count(cursor, name) for name in sorted(connection.introspection.table_names(cursor))}
        cursor.execute("PRAGMA quick_check(1)")
        is_whole = cursor.fetchone() == ("ok",)
    waiting = Parcel.objects.filter(is_acknowledged=False)
    return {
        "rows": counts,
        "is_whole": is_whole,
        "bytes": {f"{DATABASE_NAME}{end}": _bytes(root / f"{DATABASE_NAME}{end}") for end in ("", "-wal")},
        "parcels_waiting": waiting.count(),
        "parcels_quarantined": _counts(Parcel.objects.all(), "quarantine_code"),
    }


def files(root: Path) -> dict[str, Any]:
    """Return how many files and bytes each folder of the node holds, and whether its keys lie there for it alone."""
    folders = {name: _folder(root / name) for name in FOLDERS if (root / name).is_dir()}
    names = ("node.pem", *SECRETS)
    return {"folders": folders, "keys": {name: _mode(root / "keys" / name) for name in names}, "https": _https(root)}


def _https(root: Path) -> dict[str, Any]:
    switch = switch_read(root)
    return {"is_on": switch is not None and switch.is_on}


def _codes_alone(value: Any) -> Any:  # noqa: ANN401 - plain JSON
    """Return `value` with each text in it that is neither a code nor a time hidden."""
    if isinstance(value, dict):
        return {name: _codes_alone(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_codes_alone(inner) for inner in value]
    return _code(value) if isinstance(value, str) and not _TIME.fullmatch(value) else value


def _rows(rows: models.QuerySet[Any], *columns: str) -> list[dict[str, Any]]:
    return [
        _codes_alone({name: _told(value) for name, value in row.items()}) for row in rows.values(*columns)[:MOST_ROWS]
    ]


def _counts(rows: models.QuerySet[Any], column: str) -> dict[str, int]:
    counted = rows.values_list(column).annotate(models.Count("pk")).order_by(column)
    return {_code(value): number for value, number in counted if value}


def _told(value: object) -> Any:  # noqa: ANN401 - plain JSON
    return value.isoformat() if isinstance(value, time) else to_plain(value)


def _code(text: str) -> str:
    return text if _CODE.fullmatch(text) else HIDDEN


def _setting(name: str, value: str) -> str:
    return _code(value) if name in SWITCHES else "(set)"


def _count(cursor: Any, table: str) -> int:  # noqa: ANN401 - Django's cursors have no common type
    try:
        cursor.execute(f"SELECT COUNT(*) FROM {connection.ops.quote_name(table)}")  # nosec B608 # noqa: S608 - our own
    except DatabaseError:
        return -1
    return int(cursor.fetchone()[0])


def _folder(folder: Path) -> dict[str, int]:
    sizes = [_bytes(path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _mode(path: Path) -> str:
    try:
        return stat.filemode(path.stat().st_mode)
    except OSError:
        return "missing"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _uptime_seconds() -> float:
    try:
        return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0.0
