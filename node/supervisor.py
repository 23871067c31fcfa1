"""`node run`: one process that starts the page, the engine and the sync loop, and keeps them running.

Rules, in order: the port is tried before anything is touched; the database is migrated before any child reads it; a
child that ends is started again, ever more slowly when it keeps ending; the end of this process is the end of all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from federation.trust.durable import durable_write
from federation.wire.canonical import canonical_bytes
from node.children import child_environment, command_argv

LOOK_SECONDS = 0.5
SETTLED_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 60.0
GRACE_SECONDS = 10.0
MAX_LOG_BYTES = 10 * 1024 * 1024
_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Child:
    """One child process, also while it is down."""

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    ends: int = 0
    restart_at: float = 0.0

    def start(self) -> None:
        """Start the process in a group of its own, its words appended to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.started = time.monotonic()

    def has_ended(self) -> bool:
        """Return whether a started process is over."""
        return self.process is not None and self.process.poll() is not None

    def mourn(self, now: float) -> None:
        """Set when to start again: at once after a long life, later and later after short ones."""
        status = self.process.returncode if self.process else 0
        self.ends = 1 if now - self.started > SETTLED_SECONDS else self.ends + 1
        pause = min(2.0 ** (self.ends - 1), LONGEST_PAUSE_SECONDS)
        self.restart_at = now + pause
        self.process = None
        _log.warning("%s ended with status %s; starts again in %.0f s (see %s)", self.name, status, pause, self.log)

    def end(self) -> None:
        """Ask the whole group to end, and make it end when it does not listen."""
        if self.process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=GRACE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunFile:
    pid: int
    address: str
    started_at: datetime
    children: Mapping[str, int]


def node_children(*, root: Path, host: str, port: int) -> list[Child]:
    """Return the page, the engine and the sync loop, none of them started."""
    commands = {
        "page": command_argv("page", "--host", host, "--port", str(port)),
        "engine": command_argv("engine"),
        "sync": command_argv("sync"),
    }
    environment = child_environment(root)
    return [
        Child(name=name, argv=argv, log=root / "logs" / f"{name}.log", environment=environment)
        for name, argv in commands.items()
    ]


def children_run(
    *, children: Sequence[Child], root: Path, address: str, clock: Callable[[], datetime], stopping: threading.Event
) -> None:
    """Keep `children` running until `stopping` is set; `run.json` under `root` names their process ids meanwhile."""
    run_file = root / "run.json"
    started_at = clock()
    try:
        while not stopping.is_set():
            if _look_after(children):
                pids = {child.name: child.process.pid for child in children if child.process}
                run = _RunFile(pid=os.getpid(), address=address, started_at=started_at, children=pids)
                durable_write(run_file, canonical_bytes(run))
            stopping.wait(LOOK_SECONDS)
    finally:
        for child in children:
            if child.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGTERM)
        for child in children:
            child.end()
        run_file.unlink(missing_ok=True)


def _look_after(children: Sequence[Child]) -> bool:
    """Start what is due; return whether any process id changed."""
    now, has_changed = time.monotonic(), False
    for child in children:
        if child.has_ended():
            child.mourn(now)
            has_changed = True
        if child.process is None and now >= child.restart_at:
            child.start()
            has_changed = True
    return has_changed
