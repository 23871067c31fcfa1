"""The filesystem broker: kombu's own, with messages that are whole as soon as they can be seen."""

from __future__ import annotations

import json
import logging
import time
import uuid
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps

LOGGER = logging.getLogger(__name__)


class Channel(filesystem.Channel):
    """Puts a message under a name that no reader looks for, and renames it.

    kombu writes under the final name. A worker that reads between its opening and its writing finds an empty message,
    which ends the worker (celery/kombu issue 1551): seen twice in one demo, where beat and worker share a process.
    """

    # The kombu classes above disagree on a parameter's name.
    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]  # noqa: ANN401, ARG002
        name = f"{time.monotonic_ns() // 1_000_000}_{uuid.uuid4()}.{queue}.msg"
        folder = Path(self.data_folder_out)
        # A reader takes what stands behind a name's first dot for the queue.
        draft = folder / f".{name}"
        draft.write_text(dumps(payload), encoding="utf-8")
        draft.rename(folder / name)


class Transport(filesystem.Transport):
    """The transport that the embedded centre's settings name."""

    Channel = Channel


def broker_folder_clean(root: Path) -> int:
    """Leave `queue/` and `control/` in `root` with whole messages only; return how many files were thrown away.

    Messages are not synced to the disk one by one, so a power cut may leave an empty or cut one, and that ends the
    worker. What a message asked for is found again by the periodic sweeps.
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
