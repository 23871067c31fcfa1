"""Where processes keep what they count, so that one of them can tell the sum: prometheus-client's files, by part.

A part's counters begin anew with it, as Prometheus expects of a program that was started again. So each part has a
folder, which the first of its processes empties. While one lives, what others counted before they died stays: a sum
that falls would look like a restart, and be counted twice.
"""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

SENT_HEADER = "soro_sent_at"
"""Of a message to the worker: when it was sent, in seconds since 1970."""


def store_variables(*, root: Path, part: str) -> dict[str, str]:
    """Return the environment by which the processes of `part` count into files.

    prometheus-client reads it when it is first imported, which may be anywhere: so whoever starts a part sets it.
    """
    return {_FOLDER_VARIABLE: str(root / part)}


def store_open(*, root: Path, part: str) -> None:
    """Leave the folder of `part` there, and empty if none of its processes lives."""
    folder = root / part
    folder.mkdir(parents=True, exist_ok=True)
    files = list(folder.glob("*.db"))
    if not any(_is_alive(int(path.stem.rpartition("_")[2])) for path in files):
        for path in files:
            path.unlink(missing_ok=True)


def store_files(*, root: Path) -> list[str]:
    """Return the files of all parts."""
    return sorted(map(str, root.glob("*/*.db")))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
