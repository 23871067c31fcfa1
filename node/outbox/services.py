"""The only writer of the outbox: append in the caller's transaction, list what is due, mark what is safe.

Rules, in order (protocol §4): events are numbered by this database alone; acknowledgement is cumulative within an
epoch; an acknowledgement of an event that is not here, or is another one here, proves that the database was restored
from a backup, and starts a new epoch; so does the centre's word that it holds another event under a number of ours.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import datetime

from django.db import connection, transaction

from federation.errors import CapacityError
from federation.wire import feedback
from node.outbox.models import Epoch, Parcel

CLONE_SUSPECTED = "clone_suspected"
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
        event_id=uuid.uuid4().hex,
        record_id=record_id,
        revision=revision,
        kind=kind.value,
        body=dict(body),
        appended_at=now,
    )


def parcels_due(*, limit: int) -> tuple[feedback.Parcel, ...]:
    """Return the oldest events that the centre has not acknowledged, at most `limit`, in order."""
    return tuple(
        feedback.Parcel(
            seq=row.seq,
            event_id=row.event_id,
            record_id=row.record_id,
            revision=row.revision,
            kind=feedback.ParcelKind(row.kind),
            body=row.body,
        )
        for row in Parcel.objects.waiting()[:limit]
    )


@transaction.atomic
def parcels_acknowledge(
    *, epoch: str, acknowledged_seq: int, event_id: str = "", quarantined: tuple[feedback.Quarantined, ...] = ()
) -> int:
    """Return how many events became safe at the centre; those it put aside for a human carry its code.

    `event_id` is the event that the centre holds under the acknowledged number, where it says so. A word for another
    epoch than the present one changes nothing.
    """
    if epoch != epoch_name():
        return 0
    if _is_restored(acknowledged_seq, event_id) or any(entry.code == CLONE_SUSPECTED for entry in quarantined):
        _log.warning("outbox: the centre holds other events than this database under the same numbers")
        epoch_renew()
        return 0
    for entry in quarantined:
        Parcel.objects.filter(seq=entry.seq).update(quarantine_code=entry.code[:64])
    return Parcel.objects.filter(seq__lte=acknowledged_seq, is_acknowledged=False).update(is_acknowledged=True)


def _is_restored(acknowledged_seq: int, event_id: str) -> bool:
    held = Parcel.objects.filter(seq=acknowledged_seq).first()
    return acknowledged_seq > 0 and (held is None or event_id not in ("", held.event_id))


def parcels_waiting() -> int:
    """Return how many events the centre has not acknowledged."""
    return Parcel.objects.waiting().count()


def epoch_name() -> str:
    """Return the name of the present numbering, made at the first call."""
    return Epoch.objects.get_or_create(is_only=True, defaults={"name": uuid.uuid4().hex})[0].name


@transaction.atomic
def epoch_renew() -> str:
    """Return the name of a new numbering, under which every event is due again; the centre drops what it knows."""
    name = uuid.uuid4().hex
    Epoch.objects.update_or_create(is_only=True, defaults={"name": name})
    Parcel.objects.update(is_acknowledged=False)
    return name
