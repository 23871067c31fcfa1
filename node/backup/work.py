"""One backup is made or put back at a time, and how far it is stands in a file: a restore changes the database itself.

The file is replaced as a whole, at most twice a second; a work whose process has gone without a word counts as cut.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from federation.errors import FederationError
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from node.backup.errors import BackupCut, BackupStopped, BackupUnderWay
from node.file_locks import is_lock_held, lock_take

WORK_NAME, LOCK_NAME, STOP_NAME = "backup.json", "backup.lock", "backup.stop"
HEARD_SECONDS = 0.5
BEGIN_WITHIN = timedelta(seconds=60)


class WorkKind(StrEnum):
    """What is done."""

    MAKE = "make"
    RESTORE = "restore"
    UNDO = "undo"


class WorkStatus(StrEnum):
    """RUNNING → DONE | FAILED."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class WorkStep(StrEnum):
    """What a work is at, in order; not every work has each."""

    BEGIN = "begin"
    COPY = "copy"
    """The database is copied, so that one moment of it is sealed."""
    WRITE = "write"
    PROVE = "prove"
    """What was written is read back."""
    READ = "read"
    CHECK = "check"
    SETTLE = "settle"
    """Tables of an older program are brought up to this one's."""
    ASIDE = "aside"
    """What is there now is copied, so that it can come back."""
    SWAP = "swap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The newest work on this PC."""

    kind: WorkKind
    status: WorkStatus = WorkStatus.RUNNING
    step: WorkStep = WorkStep.BEGIN
    bytes_done: int = 0
    bytes_total: int = 0
    file: str = ""
    """The backup's path."""
    error_code: str = ""
    error_fields: dict[str, str] = field(default_factory=dict)
    started_at: datetime
    ended_at: datetime | None = None


Heard = Callable[[WorkStep, int, int], None]


@contextmanager
def work_hold(*, root: Path, work: Work, clock: Callable[[], datetime]) -> Iterator[Heard]:
    """Hold the right to make backups and put them back, and write down how far `work` is and how it ends.

    What is yielded is told each step with its bytes; it ends the work where somebody asked for that.

    Raises:
        BackupUnderWay: another process has the right.
        BackupStopped: from what is yielded.
    """
    with (root / LOCK_NAME).open("w") as stream:
        if not lock_take(stream):
            raise BackupUnderWay
        (root / STOP_NAME).unlink(missing_ok=True)
        tale = _Tale(root, work)
        try:
            yield tale.hear
        except FederationError as error:
            fields = {name: str(value)[:300] for name, value in error.fields.items()}
            tale.end(WorkStatus.FAILED, clock(), error_code=error.code, error_fields=fields)
            raise
        except BaseException:
            # What nobody foresaw is in the log; the page says that it was cut.
            tale.end(WorkStatus.FAILED, clock(), error_code=BackupCut.code)
            raise
        tale.end(WorkStatus.DONE, clock())


def work_announce(*, root: Path, kind: WorkKind, now: datetime) -> None:
    """Write down that a work of `kind` is about to begin in another process, so that no second one is started.

    Raises:
        BackupUnderWay: one runs, or is about to.
    """
    newest = work_newest(root=root, now=now)
    if newest is not None and newest.status is WorkStatus.RUNNING:
        raise BackupUnderWay
    _Tale(root, Work(kind=kind, started_at=now))


def work_newest(*, root: Path, now: datetime) -> Work | None:
    """Return the newest work; one whose process has ended without a word, or never began, has failed as cut."""
    try:
        work = parse(Work, (root / WORK_NAME).read_bytes())
    except (FileNotFoundError, MalformedDocument):
        return None
    if work.status is not WorkStatus.RUNNING or is_work_running(root):
        return work
    if work.step is WorkStep.BEGIN and now - work.started_at < BEGIN_WITHIN:
        return work
    return replace(work, status=WorkStatus.FAILED, error_code=BackupCut.code, ended_at=now)


def is_work_running(root: Path) -> bool:
    """Return whether a process makes a backup or puts one back now."""
    return is_lock_held(root / LOCK_NAME)


def work_stop(root: Path) -> None:
    """Ask the running work to end; one that is already changing the data over ends by itself."""
    (root / STOP_NAME).touch()


class _Tale:
    def __init__(self, root: Path, work: Work) -> None:
        self._root, self._work, self._written_at = root, work, 0.0
        self._write()

    def hear(self, step: WorkStep, done: int, total: int) -> None:
        if step is not WorkStep.SWAP and (self._root / STOP_NAME).exists():
            raise BackupStopped
        is_new_step = step is not self._work.step
        self._work = replace(self._work, step=step, bytes_done=done, bytes_total=total)
        if is_new_step or time.monotonic() - self._written_at >= HEARD_SECONDS:
            self._write()

    def end(self, status: WorkStatus, now: datetime, **changes: object) -> None:
        self._work = replace(self._work, status=status, ended_at=now, **changes)  # type: ignore[arg-type]
        self._write()

    def _write(self) -> None:
        draft = self._root / f".{WORK_NAME}.{os.getpid()}"
        draft.write_bytes(canonical_bytes(self._work))
        draft.replace(self._root / WORK_NAME)
        self._written_at = time.monotonic()
