"""Forgets parcels whose work is done: the one place where a received parcel leaves the tables.

A parcel is what a rating was made from, and the ratings stay. The rules, in order:
1. Only numbers below the one that is acknowledged go. All of them were received, so one that comes again is settled by
   its number alone (`services`), however late it comes, and whatever it says.
2. The parcel that the acknowledgement names stays, also of a numbering that is over: by it a PC whose database was
   restored or copied finds out (protocol §4.6).
3. What waits for a person stays: parcels in quarantine, and those that an alarm is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet

from central.batches import BATCH_ROWS
from central.feedback.models import CloneAlarm, OutboxCursor, ParcelStatus, ReceivedParcel


def parcels_due(*, before: datetime) -> QuerySet[ReceivedParcel]:
    """Return the parcels received before `before` that may be forgotten."""
    numbering = {"node": OuterRef("node"), "epoch": OuterRef("epoch")}
    passed = OutboxCursor.objects.filter(**numbering, acknowledged_seq__gt=OuterRef("seq"))
    alarms = CloneAlarm.objects.filter(**numbering, seq=OuterRef("seq"))
    old = ReceivedParcel.objects.filter(received_at__lt=before, status=ParcelStatus.ACCEPTED)
    return old.filter(Exists(passed), ~Exists(alarms)).order_by()


def parcels_forget(*, before: datetime, most: int, batch_rows: int = BATCH_ROWS) -> int:
    """Delete at most about `most` parcels received before `before` that may go; return how many."""
    gone = 0
    for keys in _old_keys(before, batch_rows):
        due = list(parcels_due(before=before).filter(pk__in=keys).values_list("pk", flat=True))
        gone += ReceivedParcel.objects.filter(pk__in=due).delete()[0]
        if gone >= most:
            break
    return gone


def _old_keys(before: datetime, batch_rows: int) -> Iterator[Sequence[int]]:
    """Yield the keys of old parcels, the oldest first.

    They were numbered as they came, so the walk ends where the young ones begin, and needs no index by date.
    """
    last = 0
    while True:
        rows = ReceivedParcel.objects.filter(pk__gt=last).order_by("pk")
        walked = list(rows.values_list("pk", "received_at")[:batch_rows])
        old = [key for key, received_at in walked if received_at < before]
        if not old:
            return
        last = walked[-1][0]
        yield old
