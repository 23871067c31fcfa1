"""Whether the centre can do its work now: each thing that it stands on, tried, and by which code it fails.

What is told goes to whoever asks, so it is codes alone: no addresses, names or passwords.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError

from central.celery import app
from central.disk import CentreDisk
from central.releases.blob_store import blob_store
from federation.errors import CapacityError, FederationError, TransportError
from federation.trust.errors import MetadataExpired
from federation.trust.tuf_roles import roles_read
from federation.wire.canonical import sha256_hex

OK = "ok"
_BROKER_SECONDS = 2.0


class DatabaseUnreachable(TransportError):
    """The database does not answer."""

    code = "database_unreachable"


class MigrationsMissing(CapacityError):
    """The tables are of an older program."""

    code = "migrations_missing"


class BrokerUnreachable(TransportError):
    """The broker takes no messages for the worker."""

    code = "broker_unreachable"


class StorageUnwritable(CapacityError):
    """The centre cannot write under `root`."""

    code = "storage_unwritable"


def readiness_read(*, disk: CentreDisk, now: datetime) -> dict[str, str]:
    """Return for each thing that the centre stands on `ok`, or the code of what is wrong with it."""
    checks: Mapping[str, Callable[[], None]] = {
        "database": _database_expect,
        "migrations": _migrations_expect,
        "broker": _broker_expect,
        "storage": lambda: _storage_expect(disk),
        "metadata": lambda: _metadata_expect(disk, now),
    }
    return {name: _code_of(expect) for name, expect in checks.items()}


def _code_of(expect: Callable[[], None]) -> str:
    try:
        expect()
    except FederationError as error:
        return error.code
    except (DatabaseError, InterfaceError):
        return DatabaseUnreachable.code
    return OK


def _database_expect() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _migrations_expect() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MigrationsMissing


def _broker_expect() -> None:
    if settings.IS_BROKER_EMBEDDED:
        if not os.access(settings.BROKER_ROOT / "queue", os.W_OK):
            raise BrokerUnreachable
        return
    with app.connection_for_write(connect_timeout=_BROKER_SECONDS) as broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=_BROKER_SECONDS)
        except (OperationalError, OSError, *broker.connection_errors) as error:
            raise BrokerUnreachable from error


def _storage_expect(disk: CentreDisk) -> None:
    if not os.access(disk.root, os.W_OK):
        raise StorageUnwritable(root=str(disk.root))
    # Whether a blob is there that can never be: a bucket has to answer that.
    blob_store(disk).size_bytes(sha256_hex(b""))


def _metadata_expect(disk: CentreDisk, now: datetime) -> None:
    for state in roles_read(root=disk.tuf, keys=disk.keys):
        if state.expires_at <= now:
            raise MetadataExpired(role=state.role)
