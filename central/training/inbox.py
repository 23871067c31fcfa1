"""Takes in what the Flower run has left in the inbox; a judged file keeps its name and gets a suffix."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from central.disk import CentreDisk
from central.training.services import update_take_in
from federation.errors import CapacityError, FederationError, TransportError

LOGGER = logging.getLogger(__name__)
# The run counts a node as collected as long as a file's name begins with the node's, so files are renamed, not moved.
# What was taken in is kept elsewhere, where it goes when its school withdraws: here only the name stays.
UNJUDGED = ".update"
JUDGED = ".judged"
UNREADABLE = ".unreadable"


def updates_scan_inbox(*, disk: CentreDisk, now: datetime) -> int:
    """Judge every update that lies in the inbox and return how many; a cut before the renaming judges one again."""
    if not disk.inbox.is_dir():
        return 0
    files = sorted(_unjudged(disk.inbox))
    for path in files:
        _file_take_in(path, disk, now)
    return len(files)


def _unjudged(inbox: Path) -> Iterator[Path]:
    # Judged ones of a whole season lie beside them, and glob makes a Path of each.
    with os.scandir(inbox) as rounds:
        folders = [entry.path for entry in rounds if entry.is_dir()]
    for folder in folders:
        with os.scandir(folder) as entries:
            yield from [Path(entry.path) for entry in entries if entry.name.endswith(UNJUDGED)]


def _file_take_in(path: Path, disk: CentreDisk, now: datetime) -> None:
    try:
        content = path.read_bytes()
        # An empty file is one that was taken in before a cut.
        if content:
            update_take_in(content=content, disk=disk, now=now)
            os.truncate(path, 0)
        path.rename(path.with_name(path.name + JUDGED))
    except (CapacityError, TransportError):
        LOGGER.exception("update file %s must wait", path)
    except FederationError as error:
        LOGGER.warning("update file %s belongs to nobody: %s", path, error)
        path.rename(path.with_name(path.name + UNREADABLE))
