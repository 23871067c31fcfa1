"""Start the reading of files in a process of its own, and let only one of these read at a time."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO

from node.children import child_environment, command_argv
from node.file_locks import is_lock_held, lock_take
from node.textbooks.services import readings_wait, textbook_read_next

_LOOKED_AT_TIMES, _LOOKED_AT_SECONDS = 10, 0.1


def reading_launch(*, root: Path) -> None:
    """Let another process read what waits; what becomes of it stands in the books' rows."""
    (root / "logs").mkdir(parents=True, exist_ok=True)
    with (root / "logs" / "textbooks.log").open("ab") as log:
        child = subprocess.Popen(
            command_argv("textbook", "read"),
            env=child_environment(root),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # Its end has to be waited for by somebody, or it stays in the table of processes.
    threading.Thread(target=child.wait, daemon=True).start()


def readings_run(*, root: Path, clock: Callable[[], datetime]) -> None:
    """Read all books that wait, one after the other, unless another process is at it already."""
    # A book that begins to wait while the lock is let go is seen by the second look.
    while readings_wait():
        with _lock_path(root).open("w") as stream:
            if not _taken_soon(stream):
                return
            while textbook_read_next(root=root, now=clock()):
                pass


def is_reading(root: Path) -> bool:
    """Return whether a process reads books now."""
    return is_lock_held(_lock_path(root))


def _taken_soon(stream: IO[str]) -> bool:
    # Whoever looks whether somebody reads holds the lock for a moment.
    for _time in range(_LOOKED_AT_TIMES):
        if lock_take(stream):
            return True
        time.sleep(_LOOKED_AT_SECONDS)
    return False


def _lock_path(root: Path) -> Path:
    return root / "textbooks.lock"
