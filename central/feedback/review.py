"""What reviewers make of ratings: accepted as they are or edited, rejected, masked or erased.

With `services` and `erasure` the only writer of ratings. The rules, in order:
1. A reviewer judges the revision that was on the page; if a newer one has come meanwhile, nothing is changed.
2. What the teacher wrote stays beside the reviewer's wording. Only personal data go for good, also out of the parcels.
3. Each judgement has one audit row, which never holds a teacher's words.
4. A judgement stays at the centre: it decides what becomes a data set and what the gate measures corrections on. A
   school goes on learning from what its own teachers said.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from central.feedback.agreement import turn_key_of
from central.feedback.erasure import ratings_erase, record_parcels_erase, reviews_void
from central.feedback.errors import CorrectionMissing, NothingMasked
from central.feedback.models import Rating, ReviewStatus
from central.schools.errors import StatusConflict
from central.schools.reach import entity_of
from central.schools.transitions import status_move


def rating_next(*, ratings: QuerySet[Rating], after: int) -> Rating | None:
    """Return the first of `ratings` behind the one with the id `after`, with all that its page shows."""
    return ratings.filter(pk__gt=after).order_by("pk").select_related("node__school").first()


def rating_accept(*, rating: Rating, revision: int, correction: str, actor: str, now: datetime) -> None:
    """Accept the rating, with `correction` as the wording where that is not the teacher's own.

    Raises:
        CorrectionMissing: the teacher has written a correction, and `correction` is empty.
        StatusMoveIllegal: it is accepted already.
        StatusConflict: it is of another revision by now, or erased; nothing is changed.
    """
    wording = correction.strip()
    if rating.correction and not wording:
        raise CorrectionMissing
    is_edited = bool(rating.correction) and wording != rating.correction.strip()
    with transaction.atomic():
        held = _rating_hold(rating, revision)
        status_move(
            held,
            to=ReviewStatus.ACCEPTED,
            actor=actor,
            reason="edited" if is_edited else "",
            now=now,
            edited_correction=wording if is_edited else "",
        )


def rating_reject(*, rating: Rating, revision: int, actor: str, now: datetime) -> None:
    """Reject the rating: no data set takes it, and the gate measures nothing on it.

    Raises:
        StatusMoveIllegal, StatusConflict: as `rating_accept`.
    """
    with transaction.atomic():
        held = _rating_hold(rating, revision)
        status_move(held, to=ReviewStatus.REJECTED, actor=actor, now=now, edited_correction="")


def rating_mask(
    *, rating: Rating, revision: int, question: str, answer: str, correction: str, actor: str, now: datetime
) -> None:
    """Accept the rating with these words in place of those in which personal data were found, which go for good.

    Raises:
        NothingMasked: they are the same words.
        CorrectionMissing, StatusConflict: as `rating_accept`.
    """
    words = {"question": question.strip(), "answer": answer.strip(), "correction": correction.strip()}
    if rating.correction and not words["correction"]:
        raise CorrectionMissing
    with transaction.atomic():
        held = _rating_hold(rating, revision)
        if all(getattr(held, name).strip() == text for name, text in words.items()):
            raise NothingMasked
        reviews_void(ratings=[held], actor=actor, reason="masked", now=now)
        status_move(
            held,
            to=ReviewStatus.ACCEPTED,
            actor=actor,
            reason="masked",
            now=now,
            masked_revision=revision,
            turn_key=turn_key_of(question=words["question"], answer=words["answer"]),
            **words,
        )
        record_parcels_erase(node=held.node, record_id=held.record_id, up_to_revision=revision)


def rating_erase(*, rating: Rating, revision: int, actor: str, now: datetime) -> None:
    """Take the words out of the rating for good, because masking would not be enough.

    Raises:
        StatusConflict: as `rating_accept`.
    """
    with transaction.atomic():
        held = _rating_hold(rating, revision)
        ratings_erase(ratings=[held], actor=actor, reason="personal data", now=now)


def _rating_hold(rating: Rating, revision: int) -> Rating:
    """Return the rating under a lock, if it is still the one that the reviewer has seen."""
    held = Rating.objects.select_related("node").select_for_update(of=("self",)).get(pk=rating.pk)
    if held.is_deleted or held.revision != revision or held.status != rating.status:
        raise StatusConflict(entity=entity_of(rating), old=rating.status, new=held.status)
    return held
