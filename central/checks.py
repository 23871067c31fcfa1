"""What Django's checks say of the settings: mistakes to every command, what is unfit for production to `--deploy`.

`central.environment` judges each value by itself; here stands what only the machine can say. Every id has a line in
docs/errors.md.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks

from central.environment import LOOPBACK_NAMES

UNREADABLE_ID = "central.E011"


@checks.register()
def settings_check(**_options: Any) -> list[checks.CheckMessage]:  # noqa: ANN401 - Django's signature
    """Return an error for each mistaken SORO_CENTRAL_* variable; no command goes on with one."""
    return [checks.Error(mistake.text, id=mistake.code) for mistake in settings.SETTINGS_MISTAKES]


@checks.register()
def files_check(**_options: Any) -> list[checks.CheckMessage]:  # noqa: ANN401 - Django's signature
    """Return an error for each file and folder that a variable names and that is not there or not what it should be."""
    found = [
        _authority_refusal(settings.WEB_AUTHORITY),
        _suites_refusal(settings.SUITES),
    ]
    return [checks.Error(text, id=UNREADABLE_ID) for text in found if text]


@checks.register(deploy=True)
def production_check(**_options: Any) -> list[checks.CheckMessage]:  # noqa: ANN401 - Django's signature
    """Return a warning for each default that is meant for a trial on one machine."""
    return [checks.Warning(text, hint=hint, id=code) for is_unfit, code, text, hint in _production_rules() if is_unfit]


def _production_rules() -> list[tuple[bool, str, str, str]]:
    hosts = set(settings.ALLOWED_HOSTS) - set(LOOPBACK_NAMES)
    return [
        (
            not settings.IS_TLS,
            "central.W001",
            "Schools and people reach the centre without TLS; passwords and tokens can be read on the way.",
            "Put nginx in front (deploy/nginx) and set SORO_CENTRAL_TLS=1 and SORO_CENTRAL_PROXIES=1.",
        ),
        (
            bool(settings.IS_SQLITE),
            "central.W002",
            "The tables are in SQLite, which one process writes at a time.",
            "Set SORO_CENTRAL_DATABASE_URL to a PostgreSQL database.",
        ),
        (
            bool(settings.IS_BROKER_EMBEDDED),
            "central.W003",
            "Messages to the worker go through files, to one worker that does one thing at a time.",
            "Set SORO_CENTRAL_BROKER_URL to Redis or RabbitMQ.",
        ),
        (
            not hosts or "*" in hosts,
            "central.W004",
            "The centre answers to any name, or to no name but this machine's own.",
            "Set SORO_CENTRAL_HOSTS to the names under which schools and people reach it.",
        ),
        (
            not settings.PUBLIC_ADDRESS,
            "central.W005",
            "No address is set, so no claim sheet can be printed.",
            "Set SORO_CENTRAL_ADDRESS to the address by which schools reach the centre.",
        ),
        (
            _is_readable_by_others(settings.SECRET_KEY_FILE),
            "central.W006",
            "Other accounts of this machine can read the secret that signs the admin's sessions.",
            f"chmod 600 {settings.SECRET_KEY_FILE}",
        ),
        (
            settings.BACKUP_PLACE is None,
            "central.W007",
            "Nobody is told when the centre's copies stop being made.",
            "Set SORO_CENTRAL_BACKUP to the folder in which they lie (docs/operations.md, «Backup and restore»).",
        ),
    ]


def _authority_refusal(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError):
        return f"SORO_CENTRAL_AUTHORITY must name a PEM file of certificates that can be read; {path} is none."
    return ""


def _suites_refusal(path: Path | None) -> str:
    if path is None or path.is_dir():
        return ""
    return f"SORO_CENTRAL_SUITES names {path}, which is no folder; make it, or correct the name."


def _is_readable_by_others(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & 0o077)
