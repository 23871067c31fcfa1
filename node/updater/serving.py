"""Whether the program that runs serves the school: its page answers, and its engine holds the current release."""

from __future__ import annotations

import time
from pathlib import Path

from federation.errors import FederationError
from node.chat.engine_client import engine_status
from node.installed.state import slots_read
from node.programs.errors import ProgramEngineSilent, ProgramPageSilent
from node.root import engine_socket_path
from node.updater.rehearsal import page_answers
from node.updater.said import Said


def engine_answers(data: Path) -> bool:
    """Tell whether the engine holds the release that is current here."""
    try:
        current = slots_read(data).current
        status = engine_status(socket_path=engine_socket_path(data))
    except FederationError:
        return False
    return bool(current) and status is not None and status.release == current


def serving_await(*, data: Path, port: int, has_engine: bool, patience_seconds: float, settle_seconds: float) -> Said:
    """Return once the program has served at both ends of `settle_seconds`, or has not within `patience_seconds`.

    A program that starts and ends again and again answers now and then; twice at a distance it hardly does.
    """
    until, since = time.monotonic() + patience_seconds, None
    while time.monotonic() < until:
        code = _problem(data, port, has_engine=has_engine)
        now = time.monotonic()
        since = None if code else since or now
        if since is not None and now - since >= settle_seconds:
            return Said()
        time.sleep(0.5)
    return Said(code=_problem(data, port, has_engine=has_engine) or ProgramPageSilent.code)


def _problem(data: Path, port: int, *, has_engine: bool) -> str:
    if not page_answers(port):
        return ProgramPageSilent.code
    return ProgramEngineSilent.code if has_engine and not engine_answers(data) else ""
