"""The filesystem broker's folders: made at start, and rid of messages that a power cut has damaged."""

from __future__ import annotations

import json
import logging
from pathlib import Path

LOGGER = logging.getLogger(__name__)


def broker_folder_clean(root: Path) -> int:
    """Leave `queue/` and `control/` in `root` with whole messages only; return how many files were thrown away.

    kombu writes a message without renaming it into place, and one empty or cut file ends the worker. What a message
    asked for is found again by the periodic sweeps.
    """
    for name in ("queue", "control"):
        (root / name).mkdir(parents=True, exist_ok=True)
    damaged = [path for path in (root / "queue").glob("*.msg") if not _is_whole(path)]
    for path in damaged:
        path.unlink(missing_ok=True)
        LOGGER.warning("broker message %s is damaged and was thrown away", path.name)
    return len(damaged)


def _is_whole(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        return False
