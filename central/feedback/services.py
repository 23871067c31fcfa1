"""Takes parcels in; the only writer of parcels, cursors, alarms and ratings but for what stands beside it.

That is `clones`, `review`, `erasure` and `forgetting`.

A parcel that was received once changes nothing when it comes again. A bad one is kept aside with its code and counts as
received. Of a record's revisions the highest of the newest epoch counts: a restored PC speaks for its school again. A
tombstone wins over every revision of its record, whichever came first. A revision in which a reviewer found personal
data never brings its words back. A new revision voids what a reviewer made of the one before.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from central.feedback.agreement import turn_key_of
from central.feedback.clones import alarm_raise
from central.feedback.erasure import WITHOUT_WORDS, record_parcels_erase, reviews_void
from central.feedback.models import CloneAlarm, CloneSign, OutboxCursor, ParcelStatus, Rating, ReceivedParcel
from central.feedback.trends import weeks_mark
from central.schools.models import Node
from central.schools.sessions import node_expect
from federation.errors import WireError
from federation.wire.canonical import from_plain, to_plain
from federation.wire.feedback import (
    CLONE_SUSPECTED,
    BatchReceipt,
    Parcel,
    ParcelBatch,
    ParcelKind,
    Quarantined,
    RatingBody,
)

LOGGER = logging.getLogger(__name__)
TEXT_UNSTORABLE = "text_unstorable"
MAX_QUARANTINED = 200
MAX_NAME = 64
MAX_SEQ = 2**62
MAX_REVISION = 2**30
MAX_SUBJECT = 120


class ParcelNameInvalid(WireError):
    """An id in the parcel `seq` is longer than 64 characters, or has others than printable ASCII."""

    code = "parcel_name_invalid"


class ParcelNumberInvalid(WireError):
    """The number or revision of the parcel `seq` is out of range."""

    code = "parcel_number_invalid"


def parcels_take_in(*, node: Node, batch: ParcelBatch, now: datetime) -> BatchReceipt:
    """Keep every parcel of `batch` and return what is now safe; the same batch again says no less.

    Raises:
        NodeMismatch, ParcelNameInvalid, ParcelNumberInvalid: nothing is kept.
    """
    node_expect(node=node, node_id=batch.node_id)
    _judge_names(batch)
    with transaction.atomic():
        cursor, _ = OutboxCursor.objects.select_for_update().get_or_create(node=node, epoch=batch.epoch)
        held = _held(cursor, batch)
        found = [_parcel_take_in(cursor, held, parcel, now) for parcel in batch.parcels]
        _cursor_advance(cursor)
    # What is safe may reach beyond a batch that comes late; what was put aside there must be told with it.
    last = max((parcel.seq for parcel in batch.parcels), default=MAX_SEQ)
    safe = acknowledgement(cursor=cursor, heard_seq=last)
    return BatchReceipt(
        node_id=batch.node_id,
        epoch=batch.epoch,
        acknowledged_seq=safe.seq,
        quarantined=(*(entry for entry in found if entry is not None), *safe.quarantined),
        acknowledged_event=safe.event_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """All of an epoch up to the parcel `seq`, which is the event `event_id`, are safe; 0 and empty before the first.

    `quarantined` are the numbers of them above the one up to which the node has heard under which something waits for a
    human: a parcel that cannot be used, or another event that came under the same number.
    """

    seq: int
    event_id: str
    quarantined: tuple[Quarantined, ...] = ()


def cursor_of(*, node: Node, epoch: str) -> OutboxCursor | None:
    """Return how far the node's parcels of this epoch have come; None before it was first heard of."""
    return OutboxCursor.objects.filter(node=node, epoch=epoch).first()


def acknowledgement(*, cursor: OutboxCursor | None, heard_seq: int) -> Acknowledgement:
    """Return up to which parcel all of the cursor's epoch are safe, for a node that knows it up to `heard_seq`."""
    if cursor is None or cursor.acknowledged_seq == 0:
        return Acknowledgement(seq=0, event_id="")
    newest = ReceivedParcel.objects.get(node=cursor.node_id, epoch=cursor.epoch, seq=cursor.acknowledged_seq)
    return Acknowledgement(
        seq=newest.seq,
        event_id=newest.event_id,
        quarantined=_kept_aside(newest, heard_seq) if heard_seq < newest.seq else (),
    )


def _kept_aside(newest: ReceivedParcel, heard_seq: int) -> tuple[Quarantined, ...]:
    """Return, above `heard_seq` and up to `newest`, the last numbers under which something waits for a human."""
    numbers = {"node": newest.node_id, "epoch": newest.epoch, "seq__gt": heard_seq, "seq__lte": newest.seq}
    parked = ReceivedParcel.objects.filter(**numbers, status=ParcelStatus.QUARANTINED).order_by("-seq")
    codes = dict(parked.values_list("seq", "code")[:MAX_QUARANTINED])
    conflicts = CloneAlarm.objects.filter(**numbers, sign=CloneSign.SAME_NUMBER).order_by("-seq")
    codes |= dict.fromkeys(conflicts.values_list("seq", flat=True)[:MAX_QUARANTINED], CLONE_SUSPECTED)
    return tuple(Quarantined(seq=seq, code=code) for seq, code in sorted(codes.items()))


def _judge_names(batch: ParcelBatch) -> None:
    for parcel in batch.parcels:
        names = (batch.epoch, parcel.event_id, parcel.record_id)
        if not all(name.isascii() and name.isprintable() and 0 < len(name) <= MAX_NAME for name in names):
            raise ParcelNameInvalid(seq=parcel.seq)
        if not (1 <= parcel.seq <= MAX_SEQ and 1 <= parcel.revision <= MAX_REVISION):
            raise ParcelNumberInvalid(seq=parcel.seq)


def _held(cursor: OutboxCursor, batch: ParcelBatch) -> dict[int, ReceivedParcel]:
    """Return those that came before, by number."""
    numbers = [parcel.seq for parcel in batch.parcels]
    rows = ReceivedParcel.objects.filter(node=cursor.node, epoch=cursor.epoch, seq__in=numbers).defer("body")
    return {row.seq: row for row in rows}


def _parcel_take_in(
    cursor: OutboxCursor, held: dict[int, ReceivedParcel], parcel: Parcel, now: datetime
) -> Quarantined | None:
    """Keep one parcel, also among those `held`, and say whether it was quarantined."""
    row = held.get(parcel.seq)
    if row is not None and row.event_id != parcel.event_id:
        _clone_alarm(row, parcel, now)
        return Quarantined(seq=parcel.seq, code=CLONE_SUSPECTED)
    if row is None and parcel.seq <= cursor.acknowledged_seq:
        # It was received once, has counted, and is forgotten by now (`forgetting`).
        return None
    if row is None:
        row = held[parcel.seq] = _parcel_keep(cursor, parcel, now)
    return Quarantined(seq=row.seq, code=row.code) if row.code else None


def _parcel_keep(cursor: OutboxCursor, parcel: Parcel, now: datetime) -> ReceivedParcel:
    body = to_plain(parcel.body)
    rating, code = _rating_body(parcel)
    if not _is_storable(body):
        rating, code, body = None, TEXT_UNSTORABLE, {"escaped": json.dumps(body)}
    node = cursor.node
    held = ReceivedParcel.objects.create(
        node=node,
        epoch=cursor.epoch,
        seq=parcel.seq,
        event_id=parcel.event_id,
        record_id=parcel.record_id,
        revision=parcel.revision,
        kind=parcel.kind.value,
        body=body,
        status=ParcelStatus.QUARANTINED if code else ParcelStatus.ACCEPTED,
        code=code,
        received_at=now,
    )
    if code:
        LOGGER.warning("parcel %s of node %s is quarantined: %s", parcel.seq, node.pk, code)
    elif parcel.kind is ParcelKind.TOMBSTONE:
        _record_erase(cursor, parcel, now)
    elif rating is not None:
        _rating_project(cursor, parcel, rating, now)
    return held


def _rating_body(parcel: Parcel) -> tuple[RatingBody | None, str]:
    if parcel.kind is not ParcelKind.RATING:
        return None, ""
    try:
        return from_plain(RatingBody, dict(parcel.body)), ""
    except WireError as error:
        return None, error.code


def _is_storable(body: object) -> bool:
    """Tell whether both databases can hold the text: no NUL, no half of a surrogate pair."""
    try:
        return b"\\u0000" not in json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False


def _rating_project(cursor: OutboxCursor, parcel: Parcel, body: RatingBody, now: datetime) -> None:
    node = cursor.node
    if _is_record_of_other_node(node, parcel.record_id):
        # A copied disk has sent it before, under the name that both PCs had then.
        return
    rating = Rating.objects.select_for_update().filter(node=node, record_id=parcel.record_id).first()
    if rating is not None and rating.is_deleted:
        # The words came after the wish to delete them.
        record_parcels_erase(node=node, record_id=parcel.record_id)
    elif rating is not None and parcel.revision <= rating.masked_revision:
        record_parcels_erase(node=node, record_id=parcel.record_id, up_to_revision=rating.masked_revision)
    elif rating is None or (cursor.pk, parcel.revision) > (rating.cursor_id or 0, rating.revision):
        if rating is not None:
            reviews_void(ratings=[rating], actor="node", reason=f"revision {parcel.revision}", now=now)
            weeks_mark(received=[rating.received_at])
        fields = _rating_fields(parcel, body) | {"received_at": now, "cursor": cursor}
        Rating.objects.update_or_create(node=node, record_id=parcel.record_id, defaults=fields)


def _is_record_of_other_node(node: Node, record_id: str) -> bool:
    return Rating.objects.filter(record_id=record_id, node__school=node.school_id).exclude(node=node).exists()


def _rating_fields(parcel: Parcel, body: RatingBody) -> dict[str, object]:
    return {
        "revision": parcel.revision,
        "question": body.question,
        "answer": body.answer,
        "stars": body.stars,
        "correction": body.correction,
        "reasons": list(body.reasons),
        "subject": body.subject[:MAX_SUBJECT],
        "grade": body.grade,
        "release": body.release[:MAX_NAME],
        "teacher": body.teacher[:MAX_NAME],
        "rated_at": body.rated_at,
        "turn_key": turn_key_of(question=body.question, answer=body.answer),
    }


def _record_erase(cursor: OutboxCursor, parcel: Parcel, now: datetime) -> None:
    said = {"revision": parcel.revision, "received_at": now}
    # A copied disk may have sent the record under the name that both PCs had then; the wish holds for that one too.
    node = cursor.node
    held = Rating.objects.filter(record_id=parcel.record_id, node__school=node.school_id).select_related("node")
    rows = list(held.select_for_update(of=("self",)).order_by("pk"))
    reviews_void(ratings=rows, actor="node", reason="tombstone", now=now)
    weeks_mark(received=[row.received_at for row in rows])
    for owner in {node, *(row.node for row in rows)}:
        spoken = {"cursor": cursor} if owner == node else {}
        defaults = {**WITHOUT_WORDS, **said, **spoken}
        Rating.objects.update_or_create(node=owner, record_id=parcel.record_id, defaults=defaults)
        record_parcels_erase(node=owner, record_id=parcel.record_id)


def _clone_alarm(held: ReceivedParcel, parcel: Parcel, now: datetime) -> None:
    alarm_raise(
        node=held.node,
        sign=CloneSign.SAME_NUMBER,
        epoch=held.epoch,
        seq=held.seq,
        other_event_id=parcel.event_id,
        details={
            "kept_event_id": held.event_id,
            "record_id": parcel.record_id,
            "other_parcel": {"escaped": json.dumps(to_plain(parcel))},
        },
        now=now,
    )


def _cursor_advance(cursor: OutboxCursor) -> None:
    seqs = ReceivedParcel.objects.filter(node=cursor.node, epoch=cursor.epoch, seq__gt=cursor.acknowledged_seq)
    for seq in seqs.order_by("seq").values_list("seq", flat=True):
        if seq != cursor.acknowledged_seq + 1:
            break
        cursor.acknowledged_seq = seq
    cursor.save(update_fields=["acknowledged_seq"])
