"""Run `manage.py` as an operator would: short commands to their end, long ones in process groups of their own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from federation.demo.errors import StepFailed

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
STOP_SECONDS = 20.0
SILENCE_SECONDS = 300.0
"""How long nothing may move before the demo gives up: on a slow PC all takes longer, but something always moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """One project's command line on one root directory; `program` where it is not this tree's own `manage.py`."""

    project: str
    root: Path
    environment: Mapping[str, str]
    program: Sequence[str] = ()

    @property
    def log(self) -> Path:
        """The file that keeps what the commands wrote to standard error, and everything of long-running ones."""
        return self.root / "logs" / "commands.log"

    def run(
        self,
        step: str,
        command: str,
        *arguments: str,
        on_line: Callable[[str], None] | None = None,
        silence_seconds: float = math.inf,
    ) -> str:
        """Return what the command printed on standard output; `on_line` gets each line of standard error.

        Raises:
            StepFailed: the command ended with a non-zero status, or said nothing for `silence_seconds`; carries its
                last line of standard error.
        """
        child = subprocess.Popen(
            self._argv(command, *arguments),
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        last = ""
        with self._log_stream() as log, child, contextlib.ExitStack() as ending:
            ending.callback(child.kill)
            watch = ending.enter_context(SilenceWatch(silence_seconds, child.kill))
            for line in child.stderr or ():
                watch.heard()
                log.write(line)
                last = line.strip() or last
                if on_line is not None:
                    on_line(line.strip())
            output = child.stdout.read() if child.stdout else ""
            status = child.wait()
            if watch.is_over:
                reason = f"{command}: nothing moved for {silence_seconds:.0f} s after “{last}”"
                raise StepFailed(step=step, reason=reason, log=str(self.log))
            if status != 0:
                raise StepFailed(step=step, reason=_sentence(last) or f"{command} failed", log=str(self.log))
        return output

    def run_json(self, step: str, command: str, *arguments: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the JSON object on the last line that the command printed (it is given --json)."""
        lines = self.run(step, command, *arguments, "--json", **options).strip().splitlines()
        document: dict[str, Any] = json.loads(lines[-1])
        return document

    def start(self, command: str, *arguments: str) -> LongRunning:
        """Start a command that stays, in a process group of its own; its output goes to the log."""
        log_path = self.root / "logs" / f"{command}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            child = subprocess.Popen(
                self._argv(command, *arguments),
                env=self._environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return LongRunning(name=f"{self.project} {command}", child=child, log=log_path)

    def _argv(self, command: str, *arguments: str) -> list[str]:
        return [*(self.program or (sys.executable, str(MANAGE), self.project)), command, *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment, f"SORO_{self.project.upper()}_ROOT": str(self.root)}

    def _log_stream(self) -> Any:  # noqa: ANN401 - a text stream; typing.IO says no more
        self.log.parent.mkdir(parents=True, exist_ok=True)
        return self.log.open("a", encoding="utf-8", buffering=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRunning:
    """A started command that stays until it is stopped."""

    name: str
    child: subprocess.Popen[bytes]
    log: Path

    @property
    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return _sentence(lines[-1].strip()) if lines else ""

    def stop(self) -> None:
        """End the command: it is asked first, and its whole process group killed when it does not listen."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(timeout=STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


def _sentence(line: str) -> str:
    """Return the sentence that a command ended with, without Django's name for the exception and the full stop."""
    return line.removeprefix("CommandError: ").rstrip(".")


class SilenceWatch:
    """Calls `give_up` once nothing was heard for `seconds`; for a `with` statement."""

    def __init__(self, seconds: float, give_up: Callable[[], object]) -> None:
        self._seconds, self._give_up = seconds, give_up
        self._heard_at = time.monotonic()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.is_over = False

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Watch no more."""
        self._left.set()
        self._thread.join()

    def heard(self) -> None:
        """Begin to count again."""
        self._heard_at = time.monotonic()

    def _watch(self) -> None:
        while not self._left.wait(1.0):
            if time.monotonic() - self._heard_at > self._seconds:
                self.is_over = True
                self._give_up()
                return


def wait_until(
    step: str,
    is_true: Callable[[], bool],
    *,
    what: str,
    process: LongRunning | None = None,
    log: Path | None = None,
    signs: Callable[[], object] = lambda: None,
    interval_seconds: float = 0.5,
) -> None:
    """Return as soon as `is_true()`; `signs` changes as long as it comes nearer.

    Raises:
        StepFailed: nothing has moved for too long, or `process` has ended; names its log, or `log`.
    """
    log_name = str(process.log if process else log or "")
    seen, moved_at = signs(), time.monotonic()
    while not is_true():
        if process is not None and process.child.poll() is not None:
            raise StepFailed(step=step, reason=process.last_words or f"{process.name} ended", log=log_name)
        if (sign := signs()) != seen:
            seen, moved_at = sign, time.monotonic()
        if time.monotonic() - moved_at > SILENCE_SECONDS:
            reason = f"{what}: nothing moved for {SILENCE_SECONDS:.0f} s"
            raise StepFailed(step=step, reason=reason, log=log_name)
        time.sleep(interval_seconds)
