"""The database named by one URL, or SQLite under the root where none is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

NO_DATABASE = {"ENGINE": "django.db.backends.dummy"}
"""What refuses every query."""


def database_settings(url: str, *, sqlite_file: Path) -> dict[str, Any]:
    """Return Django's settings for `url` (`postgres://user:password@host:port/name?option=…`) or for `sqlite_file`.

    Raises:
        ImproperlyConfigured: the URL names another engine, or no database, or cannot be read.
    """
    if not url:
        return _sqlite(sqlite_file)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured("SORO_CENTRAL_DATABASE_URL has a host or port that cannot be read") from error
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured("SORO_CENTRAL_DATABASE_URL must start with postgres://")
    if not parts.path.strip("/"):
        raise ImproperlyConfigured("SORO_CENTRAL_DATABASE_URL names no database; put /name behind the host")
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
