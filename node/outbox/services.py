"""The only writer of the outbox: append in the caller's transaction, list what is due, mark what is safe.

Rules, in order (protocol §4): events are numbered by this database alone; acknowledgement is cumulative within an
epoch and names the event that it reaches to; one of an event that is not the one here proves that the database was
restored, and starts a new epoch; so does the centre's word that it holds another event under a number of ours; what a
restored centre has lost is due again; what a teacher takes back is said no more, not even late.
"""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Max

from federation.errors import CapacityError
from federation.wire import feedback
from federation.wire.canonical import canonical_bytes
from node.outbox.models import Epoch, Parcel

BATCH_BYTES = 256 * 1024
EVENT_BYTES = 8
"""An event's name tells two databases under one number apart; random digits do not compress."""
_log = logging.getLogger(__name__)


class OutboxOutsideTransaction(CapacityError):
    """A parcel was about to be written apart from the record that it tells of; the program is at fault."""

    code = "outbox_outside_transaction"


def parcel_append(
    *, record_id: str, revision: int, kind: feedback.ParcelKind, body: Mapping[str, object], now: datetime
) -> Parcel:
    """Return the new last event; it is kept if and only if the caller's transaction is.

    Raises:
        OutboxOutsideTransaction: no transaction is open.
    """
    if not connection.in_atomic_block:
        raise OutboxOutsideTransaction(record_id=record_id)
    return Parcel.objects.create(
        event_id=secrets.token_hex(EVENT_BYTES),
        record_id=record_id,
        revision=revision,
        kind=kind.value,
        body=dict(body),
        appended_at=now,
    )


def parcels_due(*, limit: int, limit_bytes: int = BATCH_BYTES) -> tuple[feedback.Parcel, ...]:
    """Return the oldest events that the centre has not acknowledged, in order.

    At most `limit`, and no more than `limit_bytes` on the wire, but always one where one is due.
    """
    return next(batches_due(limit=limit, batch_limit=limit, batch_bytes=limit_bytes), ())


def batches_due(
    *, limit: int, batch_limit: int, batch_bytes: int = BATCH_BYTES
) -> Iterator[tuple[feedback.Parcel, ...]]:
    """Yield the oldest `limit` events that the centre has not acknowledged, in order, in batches that it takes.

    A batch has at most `batch_limit` events and `batch_bytes` on the wire, or one event that is larger.
    """
    batch: list[feedback.Parcel] = []
    size_bytes = 0
    for row in Parcel.objects.waiting()[:limit]:
        parcel = _on_the_wire(row)
        parcel_bytes = len(canonical_bytes(parcel))
        if batch and (len(batch) == batch_limit or size_bytes + parcel_bytes > batch_bytes):
            yield tuple(batch)
            batch, size_bytes = [], 0
        batch.append(parcel)
        size_bytes += parcel_bytes
    if batch:
        yield tuple(batch)


def parcels_erase(*, record_id: str) -> int:
    """Take the words out of every event of a record that was withdrawn, and return in how many there were any.

    Each keeps its number and becomes a tombstone, so that those which had not left yet never say them.
    """
    spoken = Parcel.objects.filter(record_id=record_id).exclude(kind=Parcel.Kind.TOMBSTONE)
    return spoken.update(kind=Parcel.Kind.TOMBSTONE, body={})


@transaction.atomic
def parcels_acknowledge(
    *,
    epoch: str,
    acknowledged_seq: int,
    acknowledged_event: str,
    quarantined: tuple[feedback.Quarantined, ...] = (),
) -> int:
    """Return how many events became safe at the centre; those it put aside for a human carry its code.

    A word for another epoch than the present one changes nothing. Where the centre holds another event than this
    database under one number, the database was restored or copied: a new epoch begins, and nothing counts as safe.
    """
    if epoch != epoch_name():
        return 0
    if _is_forked(acknowledged_seq, acknowledged_event, quarantined):
        _log.warning("outbox: the centre holds another parcel %d than this PC", acknowledged_seq)
        epoch_renew()
        return 0
    for entry in quarantined:
        Parcel.objects.filter(seq=entry.seq).update(quarantine_code=entry.code[:64])
    return Parcel.objects.filter(seq__lte=acknowledged_seq, is_acknowledged=False).update(is_acknowledged=True)


def parcels_offer_again(*, above_seq: int) -> int:
    """Return how many events are due again, because a centre that was restored has lost those above `above_seq`."""
    lost = Parcel.objects.filter(seq__gt=above_seq, is_acknowledged=True)
    return lost.update(is_acknowledged=False, quarantine_code="")


def acknowledged_seq() -> int:
    """Return up to which event of the present epoch all are safe; 0 before the first."""
    first_waiting = Parcel.objects.waiting().values_list("seq", flat=True).first()
    safe = Parcel.objects.filter(is_acknowledged=True)
    return (safe if first_waiting is None else safe.filter(seq__lt=first_waiting)).aggregate(newest=Max("seq"))[
        "newest"
    ] or 0


def parcels_waiting() -> int:
    """Return how many events the centre has not acknowledged."""
    return Parcel.objects.waiting().count()


def epoch_name() -> str:
    """Return the name of the present numbering, made at the first call."""
    return Epoch.objects.get_or_create(is_only=True, defaults={"name": uuid.uuid4().hex})[0].name


@transaction.atomic
def epoch_renew() -> str:
    """Return the name of a new numbering, under which every event is due again; the centre knows each by its record."""
    name = uuid.uuid4().hex
    Epoch.objects.update_or_create(is_only=True, defaults={"name": name})
    Parcel.objects.update(is_acknowledged=False)
    return name


def _on_the_wire(row: Parcel) -> feedback.Parcel:
    return feedback.Parcel(
        seq=row.seq,
        event_id=row.event_id,
        record_id=row.record_id,
        revision=row.revision,
        kind=feedback.ParcelKind(row.kind),
        body=row.body,
    )


def _is_forked(seq: int, event_id: str, quarantined: tuple[feedback.Quarantined, ...]) -> bool:
    """Tell whether the centre's numbering of this epoch is another database's."""
    if any(entry.code == feedback.CLONE_SUSPECTED for entry in quarantined):
        return True
    return seq > 0 and not Parcel.objects.filter(seq=seq, event_id=event_id).exists()
