"""Keeps child processes running; the centre's and the node's supervisor stand on it.

1. Each child is a process group of its own, and what it says is appended to its log.
2. A child that ends is started again, ever more slowly when it keeps ending.
3. The end of the supervisor, even by SIGKILL, is the end of all. For that the supervisor has one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from federation.trust.durable import durable_write

LOOK_SECONDS = 0.5
SETTLED_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
GRACE_SECONDS = 10.0
MAX_LOG_BYTES = 10 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to start, and which signal asks it to end."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log_path: Path
    stop_signal: signal.Signals = signal.SIGTERM


def children_keep(
    specs: Sequence[ChildSpec],
    *,
    run_path: Path,
    describe: Callable[[Mapping[str, int]], bytes],
    stopping: threading.Event,
) -> None:
    """Keep the children of `specs` running until `stopping` is set; all of them have ended then.

    Meanwhile the file `run_path` holds what `describe` makes of the process ids by name, of those that run.
    """
    children = [_Child(spec) for spec in specs]
    try:
        while not stopping.is_set():
            # A list, not a generator: each child is looked after, also behind the first that has changed.
            changes = [child.look_after() for child in children]
            if any(changes):
                ids = {child.spec.name: child.process.pid for child in children if child.process is not None}
                durable_write(run_path, describe(ids))
            stopping.wait(LOOK_SECONDS)
    finally:
        for child in children:
            child.ask_to_end()
        for child in children:
            child.end()
        run_path.unlink(missing_ok=True)


@dataclass(slots=True)
class _Child:
    """A child and its history, also while it is down."""

    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    short_lives: int = 0
    restart_at: float = 0.0

    def look_after(self) -> bool:
        """Start the child again if it has ended and its pause is over; return whether its process changed."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            status, self.process = self.process.returncode, None
            self.short_lives = 1 if now - self.started_at > SETTLED_SECONDS else self.short_lives + 1
            pause = min(2.0 ** (self.short_lives - 1), LONGEST_PAUSE_SECONDS)
            self.restart_at = now + pause
            name, log_path = self.spec.name, self.spec.log_path
            _log.warning("%s ended with status %s; starts again in %.0f s (see %s)", name, status, pause, log_path)
            return True
        if self.process is None and now >= self.restart_at:
            self._start()
            return True
        return False

    def _start(self) -> None:
        log_path = self.spec.log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        if log_path.exists() and log_path.stat().st_size > MAX_LOG_BYTES:
            log_path.replace(log_path.with_suffix(".log.1"))
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.spec.argv,
                env=dict(self.spec.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(_end_with_parent, os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
            )
        self.started_at = time.monotonic()

    def ask_to_end(self) -> None:
        """Send the group its stop signal."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, self.spec.stop_signal)

    def end(self) -> None:
        """Wait for the end that was asked for, then kill what is left of the group."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None


def _end_with_parent(parent: int) -> None:
    # A supervisor that is killed outright must not leave children that hold its ports.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        # It had gone before that line, and no signal comes.
        os._exit(1)
