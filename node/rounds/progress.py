"""Where each correction of a teacher has got to: held, waiting, sent, in a round, shipped in a release.

A correction has shipped when an update that was learnt from it has (`node.rounds.shipped`). Beside it stands what the
model answered the teacher last to that question. Reads only; decides nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from node.chat.models import Answer
from node.outbox.models import Parcel
from node.ratings.models import Rating, Sharing
from node.rounds.models import LocalUpdate


class Stage(enum.Enum):
    """How far a correction is, in the order of the journey."""

    HELD = "held"
    WAITING = "waiting"
    SENT = "sent"
    LEARNT = "learnt"
    IN_ROUND = "in_round"
    SHIPPED = "shipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionProgress:
    """One correction and how far it is; `release_version` counts from 1 once it shipped."""

    rating: Rating
    stage: Stage
    release_version: int
    is_sent: bool
    is_quarantined: bool
    now: Answer | None
    """The newest answer that the teacher got to the question since the correction."""


def corrections_progress(*, teacher_id: int) -> tuple[CorrectionProgress, ...]:
    """Return the teacher's active ratings with corrections, newest first, each with its stage."""
    ratings = list(Rating.objects.corrections().filter(teacher_id=teacher_id).select_related("answer__turn").reverse())
    parcels = {
        (parcel.record_id, parcel.revision): parcel
        for parcel in Parcel.objects.filter(record_id__in=[rating.record_id for rating in ratings])
    }
    updates = list(LocalUpdate.objects.counting())
    answers = _answers_now(teacher_id, ratings)
    return tuple(
        _progress(
            rating,
            parcels.get((rating.record_id, rating.revision)),
            updates,
            answers.get(rating.answer.turn.question),
        )
        for rating in ratings
    )


def _answers_now(teacher_id: int, ratings: list[Rating]) -> dict[str, Answer]:
    questions = {rating.answer.turn.question for rating in ratings}
    own = Answer.objects.filter(turn__conversation__person=teacher_id, turn__question__in=questions)
    finished = own.filter(status=Answer.Status.FINISHED).select_related("turn").order_by("finished_at")
    return {answer.turn.question: answer for answer in finished}


def _progress(
    rating: Rating,
    parcel: Parcel | None,
    updates: list[LocalUpdate],
    now: Answer | None,
) -> CorrectionProgress:
    learnt = [update for update in updates if rating.record_id in update.record_ids]
    versions = [update.release_version for update in learnt if update.release_version]
    is_sent = parcel is not None and parcel.is_acknowledged
    return CorrectionProgress(
        rating=rating,
        stage=_stage(
            is_held=rating.sharing == Sharing.HELD, is_sent=is_sent, learnt=learnt, has_shipped=bool(versions)
        ),
        release_version=min(versions, default=0),
        is_sent=is_sent,
        is_quarantined=bool(parcel and parcel.quarantine_code),
        now=now if now and now.finished_at and now.finished_at > rating.rated_at else None,
    )


def _stage(*, is_held: bool, is_sent: bool, learnt: list[LocalUpdate], has_shipped: bool) -> Stage:
    if has_shipped:
        return Stage.SHIPPED
    if any(update.status == LocalUpdate.Status.ACCEPTED for update in learnt):
        return Stage.IN_ROUND
    if learnt:
        return Stage.LEARNT
    if is_held:
        return Stage.HELD
    return Stage.SENT if is_sent else Stage.WAITING
