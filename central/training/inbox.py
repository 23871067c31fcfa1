"""Takes in what the Flower run has left in the inbox; a judged file keeps its name and gets a suffix."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from central.disk import CentreDisk
from central.training.services import update_take_in
from federation.errors import CapacityError, FederationError, TransportError

LOGGER = logging.getLogger(__name__)
# The run counts a node as collected as long as a file's name begins with the node's, so files are renamed, not moved.
JUDGED = ".judged"
UNREADABLE = ".unreadable"


def updates_scan_inbox(*, disk: CentreDisk, now: datetime) -> int:
    """Judge every update that lies in the inbox and return how many; a cut before the renaming judges one again."""
    if not disk.inbox.is_dir():
        return 0
    files = sorted(disk.inbox.glob("*/*.update"))
    for path in files:
        _file_take_in(path, disk, now)
    return len(files)


def _file_take_in(path: Path, disk: CentreDisk, now: datetime) -> None:
    try:
        update_take_in(content=path.read_bytes(), disk=disk, now=now)
        path.rename(path.with_name(path.name + JUDGED))
    except (CapacityError, TransportError):
        LOGGER.exception("update file %s must wait", path)
    except FederationError as error:
        LOGGER.warning("update file %s belongs to nobody: %s", path, error)
        path.rename(path.with_name(path.name + UNREADABLE))
