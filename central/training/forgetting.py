"""Forgets the bytes of updates whose round is long over: what they taught is in its adapter, and their rows stay.

A row is the centre's receipt: it answers a school that offers the update again, and stands in the provenance of
releases. Bytes are read once more only where an update may still count in another round. That is so in quarantine, and
while nobody has decided about the round's release: if it is passed over, they count in the round that collects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from django.db.models import QuerySet

from central.batches import BATCH_ROWS
from central.disk import CentreDisk
from central.releases.models import IN_FORCE, ReleaseStatus
from central.training.models import RoundStatus, Update, UpdateStatus
from central.training.services import update_forget

DECIDED = (*IN_FORCE, ReleaseStatus.REVOKED, ReleaseStatus.REFUSED)


def updates_due(*, before: datetime) -> QuerySet[Update]:
    """Return the accepted updates of rounds that were completed before `before`, and whose release is decided about."""
    over = Update.objects.filter(round__status=RoundStatus.COMPLETED, round__ended_at__lt=before)
    return over.filter(status=UpdateStatus.ACCEPTED, round__release__status__in=DECIDED).order_by()


def files_due(*, disk: CentreDisk, before: datetime) -> int:
    """Return how many updates on the disk may go."""
    return sum(_due(paths, before).count() for paths in _batches(disk))


def files_forget(*, disk: CentreDisk, before: datetime, most: int) -> int:
    """Remove at most about `most` updates of long completed rounds from the disk; return how many."""
    gone = 0
    for paths in _batches(disk):
        for update in _due(paths, before).select_related("plan").defer("plan__envelope"):
            update_forget(update=update, disk=disk)
            gone += 1
        if gone >= most:
            break
    return gone


def _due(paths: Sequence[Path], before: datetime) -> QuerySet[Update]:
    return updates_due(before=before).filter(digest__in=[path.stem for path in paths])


def _batches(disk: CentreDisk) -> Iterator[Sequence[Path]]:
    paths = sorted(disk.updates.glob("*/*.update"))
    for start in range(0, len(paths), BATCH_ROWS):
        yield paths[start : start + BATCH_ROWS]
