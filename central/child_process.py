"""One child of the supervisor: a process group with a log, started again with growing pauses when it ends."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOGGER = logging.getLogger(__name__)
SETTLED_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
GRACE_SECONDS = 10.0
MAX_LOG_BYTES = 10 * 1024 * 1024
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to start, and which signal asks it to end."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log_path: Path
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass(slots=True)
class Child:
    """A child and its history."""

    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    short_lives: int = field(default=0)
    restart_at: float = 0.0

    def start(self) -> None:
        """Start the process in a group of its own; its output is appended to its log."""
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
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - the supervisor has one thread
            )
        self.started_at = time.monotonic()

    def look_after(self) -> bool:
        """Start the child again if it has ended and its pause is over; return whether its process changed."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            status, self.process = self.process.returncode, None
            self.short_lives = 1 if now - self.started_at > SETTLED_SECONDS else self.short_lives + 1
            self.restart_at = now + min(2.0 ** (self.short_lives - 1), LONGEST_PAUSE_SECONDS)
            LOGGER.warning("%s ended with status %s; see %s", self.spec.name, status, self.spec.log_path)
            return True
        if self.process is None and now >= self.restart_at:
            self.start()
            return True
        return False

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


def _end_with_parent() -> None:
    # A supervisor that is killed outright must not leave children that hold its ports.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
