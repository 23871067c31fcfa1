"""Make room on a short disk for a release that is assigned, out of what the node can do without."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from node.installed.disk import downloads_present, downloads_remove, releases_remove
from node.installed.state import Phase, slots_locked, slots_read

logger = logging.getLogger(__name__)


def room_make(*, root: Path, assigned: Collection[str], downloads: Collection[Path]) -> bool:
    """Remove all that the node can do without for the sake of the releases `assigned`; return whether there was any.

    `downloads` are the directories in which they grow.

    Half-finished downloads of others go, and what ran before. While a release is on trial that stays: it may be needed
    again at any moment.
    """
    with slots_locked(root):
        slots = slots_read(root)
        spared = slots.previous if slots.phase is Phase.TRIAL else None
        keep = {digest for digest in (slots.current, slots.candidate, spared) if digest} | set(assigned)
        removed = releases_remove(root, keep=keep)
    others = [path for path in downloads_present(root) if path not in downloads]
    downloads_remove(root, keep=downloads)
    if removed or others:
        logger.warning("room was made: %d releases and %d downloads removed", len(removed), len(others))
    return bool(removed or others)
