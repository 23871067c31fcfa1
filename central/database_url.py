"""The database named by one URL, or SQLite under the root where none is named, and its replica."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

REPLICA = "replica"
"""Its name among Django's databases, where there is one."""
NO_DATABASE = {"ENGINE": "django.db.backends.dummy"}
"""What refuses every query."""


def database_settings(url: str, *, sqlite_file: Path) -> dict[str, Any]:
    """Return Django's settings for `url` (`postgres://user:password@host:port/name?option=…`) or for `sqlite_file`.

    Raises:
        ImproperlyConfigured: the URL names another engine, or no database, or cannot be read.
    """
    return _postgresql(url, setting="SORO_CENTRAL_DATABASE_URL") if url else _sqlite(sqlite_file)


def replica_settings(url: str) -> dict[str, Any]:
    """Return Django's settings for the replica at `url`, which is written to by nobody and never waited for.

    Raises:
        ImproperlyConfigured: as `database_settings`.
    """
    settings = _postgresql(url, setting="SORO_CENTRAL_DATABASE_REPLICA_URL")
    return {**settings, "OPTIONS": {**_REPLICA_OPTIONS, **settings["OPTIONS"]}}


# A page that waits for a replica whose machine or link is gone goes on by the primary after some seconds, not minutes.
_REPLICA_OPTIONS = {
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
    "options": "-c default_transaction_read_only=on",
}


def _postgresql(url: str, *, setting: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"{setting} has a host or port that cannot be read") from error
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(f"{setting} must start with postgres://")
    if not parts.path.strip("/"):
        raise ImproperlyConfigured(f"{setting} names no database; put /name behind the host")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": dict(parse_qsl(parts.query)),
    }


def _sqlite(file: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": file,
        "OPTIONS": {
            # WAL with FULL: NORMAL may lose the last commits in a power cut. IMMEDIATE: a transaction that reads first
            # and writes later would otherwise fail at once, without waiting, when another process has written.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    }
