"""After a restore the tables and the disk may be of different moments: updates of one that the other lacks.

With `services` the only writer of updates here. What lies on the disk was judged once and is judged again; what only a
row tells of is asked for again while a round may still count it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from central.disk import CentreDisk
from central.schools.services import node_hearing_forget
from central.training.forgetting import updates_due
from central.training.models import RoundStatus, Update, UpdateStatus
from central.training.services import kept_path, update_take_in
from federation.errors import FederationError

LOGGER = logging.getLogger(__name__)
COUNTABLE = (RoundStatus.COLLECTING, RoundStatus.AGGREGATING)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatesReconciled:
    """What became of the updates that disk and tables did not agree on."""

    taken_in: int
    """Lay on the disk without a row."""
    asked_again: int
    """Had a row without a file, in a round that is not over: their schools offer them once more."""
    missing: int
    """Had a row without a file, in a round that is over: what they taught is in its adapter."""


def updates_reconcile(*, disk: CentreDisk, kept_since: datetime, now: datetime) -> UpdatesReconciled:
    """Bring updates on the disk and in the tables together; harmless to repeat.

    Of rounds that were completed before `kept_since` no files are looked for: they were let go (`forgetting`).
    """
    taken_in = _found_take_in(disk, now)
    bytes_are_due = Update.objects.filter(status__in=[UpdateStatus.ACCEPTED, UpdateStatus.QUARANTINED])
    rows = bytes_are_due.select_related("round", "plan", "node").defer("plan__envelope")
    rows = rows.exclude(pk__in=updates_due(before=kept_since).values("pk"))
    lost = [update for update in rows.iterator() if not kept_path(update=update, disk=disk).exists()]
    again = [update for update in lost if update.round is None or update.round.status in COUNTABLE]
    for update in again:
        with transaction.atomic():
            # A row that stayed would be answered with a receipt, and the school would keep what it has to itself.
            update.delete()
            node_hearing_forget(node=update.node)
    return UpdatesReconciled(taken_in=taken_in, asked_again=len(again), missing=len(lost) - len(again))


def _found_take_in(disk: CentreDisk, now: datetime) -> int:
    """Take in what lies on the disk without a row, and return how many; what nobody asked for stays as it lies."""
    taken_in = 0
    for path in sorted(disk.updates.glob("*/*.update")):
        if Update.objects.filter(digest=path.stem).exists():
            continue
        try:
            update = update_take_in(content=path.read_bytes(), disk=disk, now=now)
        except FederationError as error:
            LOGGER.warning("update file %s is of nothing that these tables know: %s", path.name, error)
        else:
            taken_in += update.status == UpdateStatus.ACCEPTED
    return taken_in
