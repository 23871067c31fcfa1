"""Try a new program beside the one that serves: on a copy of the database, at a port that nobody knows.

In order: its migrations go through, its page answers, its engine passes the self-test of releases. Nothing that it does
reaches the school's data: it gets a root of its own, with copies of what is small and links to the releases.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from federation.errors import FederationError
from federation.trust.errors import DiskFull
from federation.trust.fetch import RESERVE_BYTES, disk_free_bytes
from node.backup.database import size_estimate
from node.installed.active import active_release
from node.installed.self_test import self_test_run
from node.programs.errors import ProgramMigrationFailed, ProgramPageSilent
from node.programs.services import FOLDER
from node.root import DATABASE_NAME, ENVIRONMENT_NAME
from node.updater.database import copy_write
from node.updater.said import Said

MIGRATION_SECONDS = 1800.0
_SAID = 300
COPIES = 4
"""Of the database at one moment: the copy from before, the rows put aside, what is put back, and its way there."""
_FILES = ("node.json", "state.json")
SERVER_ERROR = 500


def rehearse(*, program: Path, data: Path, page_seconds: float) -> Said:
    """Return what the program in the folder `program` came to on a copy of what is in `data`."""
    root = _root_make(data)
    environment = os.environ | {ENVIRONMENT_NAME: str(root)}
    try:
        said = _migrate(program, environment) or _page_try(program, environment, page_seconds)
        return said or _engine_try(program, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def page_answers(port: int) -> bool:
    """Tell whether a page answers at the port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:  # nosec B310 # always http
            return bool(answer.status < SERVER_ERROR)
    except urllib.error.HTTPError as error:
        return error.code < SERVER_ERROR
    except OSError:
        return False


def _root_make(data: Path) -> Path:
    root = data / FOLDER / "rehearsal"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(mode=0o700)
    if (data / DATABASE_NAME).exists():
        _room_check(data)
        copy_write(data / DATABASE_NAME, root / DATABASE_NAME)
    if (data / "keys").is_dir():
        shutil.copytree(data / "keys", root / "keys")
    for name in _FILES:
        with suppress(FileNotFoundError):
            shutil.copy2(data / name, root / name)
    (root / "releases").symlink_to(data / "releases")
    return root


def _room_check(data: Path) -> None:
    """Refuse a disk on which the school's data could not be copied aside and put back, before anything is stopped."""
    needed_bytes, free_bytes = COPIES * size_estimate(data / DATABASE_NAME) + RESERVE_BYTES, disk_free_bytes(data)
    if free_bytes < needed_bytes:
        raise DiskFull(needed_bytes=needed_bytes, free_bytes=free_bytes)


def _migrate(program: Path, environment: dict[str, str]) -> Said | None:
    argv = [str(program / "bin/soro"), "migrate", "--noinput", "--verbosity=0"]
    try:
        ended = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=MIGRATION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Said(code=ProgramMigrationFailed.code, detail=str(error)[-_SAID:])
    return Said(code=ProgramMigrationFailed.code, detail=ended.stderr.strip()[-_SAID:]) if ended.returncode else None


def _page_try(program: Path, environment: dict[str, str], page_seconds: float) -> Said | None:
    port = _free_port()
    with _page(program, environment, port) as page:
        until = time.monotonic() + page_seconds
        while page.poll() is None and time.monotonic() < until:
            if page_answers(port):
                return None
            time.sleep(0.2)
    return Said(code=ProgramPageSilent.code, detail=f"exit {page.returncode}")


@contextmanager
def _page(program: Path, environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    argv = [str(program / "bin/soro"), "page", "--port", str(port)]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _engine_try(program: Path, root: Path) -> Said:
    """Let the new program's engine load what runs here, answer and measure.

    A release that the present program cannot run either, such as a damaged one, is no fault of the new one.
    """
    try:
        release = active_release(root=root)
    except FederationError:
        release = None
    if release is None:
        return Said()
    verdict = self_test_run(release.package, release.adapter, python=program / "venv/bin/python")
    if verdict.has_passed or not self_test_run(release.package, release.adapter).has_passed:
        return Said()
    return Said(code=verdict.code, detail=verdict.detail)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
