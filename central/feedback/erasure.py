"""Takes the words out of ratings, as their teacher, a school or a reviewer asks.

With `services` and `review` the only writer of ratings.
The rules, in order:
1. Words go from the rating, from every parcel that brought them, and from the alarms that hold another parcel.
2. The row stays without words, so that parcels which come later, or come again, bring them back to nobody.
3. What a school's PC keeps, and what it has learnt, is not the centre's to erase: whoever asks is told so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from central.feedback.errors import TeacherUnknown
from central.feedback.models import CloneAlarm, Rating, ReceivedParcel, ReviewStatus
from central.feedback.trends import weeks_mark
from central.schools.audit import audit_record_all
from central.schools.models import Node, School
from central.schools.reach import entity_of, steering_expect
from central.schools.transitions import statuses_move
from federation.wire.feedback import ParcelKind

BATCH = 500
WITHOUT_WORDS: dict[str, object] = {
    "is_deleted": True,
    "question": "",
    "answer": "",
    "correction": "",
    "stars": None,
    "reasons": [],
    "subject": "",
    "grade": 0,
    "teacher": "",
    "turn_key": "",
}


def ratings_erase(*, ratings: Iterable[Rating], actor: str, reason: str, now: datetime) -> int:
    """Take the words out of `ratings` and of their parcels; return how many had any."""
    ids = [rating.pk for rating in ratings]
    return sum(_batch_erase(ids[start : start + BATCH], actor, reason, now) for start in range(0, len(ids), BATCH))


def teacher_ratings_erase(*, teacher: str, actor: str, reason: str, now: datetime) -> tuple[School, int]:
    """Take the words out of all that this pseudonym has said; return the teacher's school and how many ratings it were.

    Raises:
        TeacherUnknown: no rating is by it.
        RoleReadsOnly, OutsideRegion: `actor` has no say at the teacher's school; nothing is changed.
    """
    found = Rating.objects.filter(teacher=teacher).select_related("node__school")
    first = found.first() if teacher else None
    if first is None:
        raise TeacherUnknown(teacher=teacher[:64])
    school = first.node.school
    steering_expect(actor=actor, rows=[school])
    with transaction.atomic():
        erased = ratings_erase(ratings=found, actor=actor, reason=reason, now=now)
        # Words that came first, or could not be used, are in no rating.
        said = Q(body__teacher=teacher) | Q(body__escaped__icontains=teacher)
        _bodies_erase(ReceivedParcel.objects.filter(said, node__school=school))
    return school, erased


def school_ratings_erase(*, school: School, actor: str, reason: str, now: datetime) -> int:
    """Take the words out of all that the teachers of `school` have said; return how many ratings it were.

    Raises:
        RoleReadsOnly, OutsideRegion: `actor` has no say at the school; nothing is changed.
    """
    steering_expect(actor=actor, rows=[school])
    with transaction.atomic():
        erased = ratings_erase(ratings=Rating.objects.filter(node__school=school), actor=actor, reason=reason, now=now)
        _bodies_erase(ReceivedParcel.objects.filter(node__school=school, kind=ParcelKind.RATING.value))
        CloneAlarm.objects.filter(node__school=school).update(other_parcel={})
    return erased


def reviews_void(*, ratings: Sequence[Rating], actor: str, reason: str, now: datetime) -> None:
    """Let no judgement of a reviewer stand on `ratings`, whose words are about to change."""
    judged = [rating for rating in ratings if rating.status != ReviewStatus.WAITING]
    statuses_move(judged, to=ReviewStatus.WAITING, actor=actor, reason=reason, now=now, edited_correction="")


def record_parcels_erase(*, node: Node, record_id: str, up_to_revision: int | None = None) -> None:
    """Take the words out of all parcels of a record, or of those up to a revision."""
    parcels = ReceivedParcel.objects.filter(node=node, record_id=record_id)
    _bodies_erase(parcels if up_to_revision is None else parcels.filter(revision__lte=up_to_revision))
    CloneAlarm.objects.filter(node=node, record_id=record_id).update(other_parcel={})


def _batch_erase(ids: Sequence[int], actor: str, reason: str, now: datetime) -> int:
    with transaction.atomic():
        rows = list(Rating.objects.with_words().select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk"))
        steering_expect(actor=actor, rows=rows)
        reviews_void(ratings=rows, actor=actor, reason=reason, now=now)
        Rating.objects.filter(pk__in=[row.pk for row in rows]).update(**WITHOUT_WORDS)
        _parcels_erase(rows)
        weeks_mark(received=[row.received_at for row in rows])
        entities = [entity_of(row) for row in rows]
        audit_record_all(actor=actor, entities=entities, new="erased", reason=reason, now=now)
    return len(rows)


def _parcels_erase(rows: Sequence[Rating]) -> None:
    """Take the words out of the parcels of `rows`, node by node."""
    records: dict[UUID, list[str]] = {}
    for row in rows:
        records.setdefault(row.node_id, []).append(row.record_id)
    for node_id, names in records.items():
        _bodies_erase(ReceivedParcel.objects.filter(node_id=node_id, record_id__in=names))
        CloneAlarm.objects.filter(node_id=node_id, record_id__in=names).update(other_parcel={})


def _bodies_erase(parcels: QuerySet[ReceivedParcel]) -> None:
    parcels.filter(is_erased=False).update(body={}, is_erased=True)
