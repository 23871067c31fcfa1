"""The bundle: a ZIP of JSON and text that a person can read before it is handed on.

Every part is read for itself, and what cannot be read is told as such: a bundle is asked for when something is broken.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import DatabaseError
from django.utils import translation
from django.utils.translation import gettext

from federation.errors import FederationError
from federation.trust.durable import durable_write
from node.backup.places import medium_expected
from node.diagnosis import facts
from node.diagnosis.log_lines import PROCESSES, lines_kept
from node.diagnosis.service import journal_lines, service_states
from node.sync.enrol import enrolment_read

SUFFIX = ".zip"
READ_LOG_BYTES = 512 * 1024


def bundle_make(*, root: Path, now: datetime, environ: Mapping[str, str]) -> bytes:
    """Return the bundle of the node at `root`: what it is, runs and failed at, and no word or secret of anybody."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _readme(now))
        for name, read in _parts(root, now, environ).items():
            archive.writestr(f"{name}.json", json.dumps(_read(read), ensure_ascii=False, indent=1, default=str))
        for name in PROCESSES:
            if lines := _log_lines(root / "logs" / f"{name}.log"):
                archive.writestr(f"logs/{name}.txt", "\n".join(lines_kept(lines)))
        if lines := journal_lines():
            archive.writestr("logs/journal.txt", "\n".join(lines_kept(lines)))
    return packed.getvalue()


def bundle_write(*, content: bytes, target: Path) -> None:
    """Leave the bundle at `target`, on this PC or a stick, whole or not at all.

    Raises:
        StickFull, StickForbidden, StickGone: it cannot be written there.
    """
    with medium_expected(target.parent, needed_bytes=len(content)):
        durable_write(target, content, mode=0o600)


def bundle_name(*, root: Path, now: datetime) -> str:
    """Return a name that says whose it is and of when, in letters that every file system has."""
    try:
        node_id = enrolment_read(root).node_id
    except FederationError:
        node_id = ""
    return f"soro-diagnosis-{node_id[:8] or 'school'}-{now.astimezone(UTC):%Y%m%d-%H%M%S}{SUFFIX}"


def _parts(root: Path, now: datetime, environ: Mapping[str, str]) -> dict[str, Callable[[], Any]]:
    return {
        "versions": facts.versions,
        "machine": lambda: facts.machine(root),
        "status": lambda: facts.status(root, now),
        "centre": lambda: facts.centre(root),
        "settings": lambda: facts.settings(environ),
        "contacts": facts.contacts,
        "installs": facts.installs,
        "learning": facts.learning,
        "sticks": facts.sticks,
        "textbooks": facts.textbooks,
        "tables": lambda: facts.tables(root),
        "files": lambda: facts.files(root),
        "service": service_states,
    }


def _read(read: Callable[[], Any]) -> Any:  # noqa: ANN401 - each part has a form of its own
    try:
        return read()
    except FederationError as error:
        return {"unreadable": error.code}
    except (OSError, DatabaseError, ValueError) as error:
        # Its words may repeat a row.
        return {"unreadable": type(error).__name__}


def _log_lines(path: Path) -> list[str]:
    """Return the newest lines of a log, without the first, which may be a part of one."""
    try:
        with path.open("rb") as stream:
            size_bytes = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size_bytes - READ_LOG_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return lines[1:] if size_bytes > READ_LOG_BYTES else lines


def _readme(now: datetime) -> str:
    told = []
    for language in ("tg", "ru", "en"):
        with translation.override(language):
            told.append(
                gettext(
                    "This bundle tells what a school's PC is, runs and failed at: versions, hardware, disk, contacts, "
                    "codes of errors, counts of rows, settings and logs. It holds no word that a pupil or teacher "
                    "wrote, no name of a person, no PIN, password or key. Every file in it can be read with any editor."
                )
            )
    return "\n\n".join([*told, now.astimezone(UTC).isoformat(timespec="seconds")])
