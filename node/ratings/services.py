"""The only writer of ratings: a rating and its parcel are one transaction, an edit is a new revision.

Rules, in order: a text is masked before it is kept, so what is kept, trained on and sent is one text; a teacher is
named outside the school only by an HMAC under a secret that never leaves the node; a withdrawal is a tombstone, ends
its record for good, and takes back what had not left yet.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction

from federation.errors import WireError
from federation.wire.canonical import to_plain
from federation.wire.feedback import ParcelKind, RatingBody
from node.chat.models import Answer
from node.outbox.services import parcel_append, parcels_erase
from node.ratings.masking import Masked, text_mask
from node.ratings.models import Rating, Reason
from node.root import secret_read

MAX_CORRECTION_CHARACTERS = 8000
ID_BYTES = 8
"""A record's name need only be rare among those of one node, and random digits do not compress."""


class RatingRefused(WireError):
    """The rating is not one that the centre would take; `field` names why."""

    code = "rating_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What a teacher filled in."""

    stars: int
    reasons: tuple[str, ...] = ()
    correction: str = ""
    subject: str = ""
    grade: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """The texts of a rating as they would leave the school."""

    question: Masked
    answer: Masked
    correction: Masked

    @property
    def masked_count(self) -> int:
        """How many places were masked."""
        return len(self.question.found) + len(self.answer.found) + len(self.correction.found)


def rating_preview(*, answer: Answer, opinion: Opinion) -> Outgoing:
    """Return exactly the texts that `rating_record` would keep and send.

    Raises:
        RatingRefused: the answer is not finished, or the opinion is out of range.
    """
    _judge(answer, opinion)
    names = _known_names()
    correction = opinion.correction.strip()
    if correction == answer.text.strip():
        correction = ""
    return Outgoing(
        question=text_mask(answer.turn.question, names=names),
        answer=text_mask(answer.text, names=names),
        correction=text_mask(correction, names=names),
    )


@transaction.atomic
def rating_record(*, answer: Answer, teacher: User, opinion: Opinion, now: datetime, root: Path) -> Rating:
    """Return the rating, kept together with its parcel; a second one by the same teacher is a new revision.

    After a withdrawal it is a new record: the old one's tombstone would take its words, too.

    Raises:
        RatingRefused: see `rating_preview`.
    """
    texts = rating_preview(answer=answer, opinion=opinion)
    previous = Rating.objects.active().select_for_update().filter(answer=answer, teacher=teacher).first()
    Rating.objects.active().filter(answer=answer, teacher=teacher).update(is_active=False)
    rating = Rating.objects.create(
        record_id=previous.record_id if previous else secrets.token_hex(ID_BYTES),
        revision=previous.revision + 1 if previous else 1,
        answer=answer,
        teacher=teacher,
        question=texts.question.text,
        answer_text=texts.answer.text,
        correction=texts.correction.text,
        stars=opinion.stars,
        reasons=list(opinion.reasons),
        subject=opinion.subject,
        grade=opinion.grade,
        release=answer.release,
        rated_at=now,
    )
    _parcel(rating, ParcelKind.RATING, to_plain(_body(rating, teacher, root)), now)
    return rating


@transaction.atomic
def rating_withdraw(*, rating: Rating, now: datetime) -> None:
    """Take a rating back: it no longer counts here, a tombstone tells the centre, and no parcel holds its words."""
    if Rating.objects.active().filter(pk=rating.pk).update(is_active=False, revision=rating.revision + 1) != 1:
        raise RatingRefused(field="is_active")
    rating.refresh_from_db()
    parcels_erase(record_id=rating.record_id)
    _parcel(rating, ParcelKind.TOMBSTONE, {}, now)


def teacher_pseudonym(*, teacher: User, root: Path) -> str:
    """Return the teacher's name outside the school: the same for each rating, and a way back only with the secret."""
    secret = secret_read(root / "keys" / "pseudonym.secret")
    return hmac.new(secret.encode(), f"teacher:{teacher.pk}".encode(), hashlib.sha256).hexdigest()[:32]


def _parcel(rating: Rating, kind: ParcelKind, body: dict[str, object], now: datetime) -> None:
    parcel_append(record_id=rating.record_id, revision=rating.revision, kind=kind, body=body, now=now)


def _body(rating: Rating, teacher: User, root: Path) -> RatingBody:
    return RatingBody(
        question=rating.question,
        answer=rating.answer_text,
        stars=rating.stars,
        correction=rating.correction,
        reasons=tuple(rating.reasons),
        subject=rating.subject,
        grade=rating.grade,
        release=rating.release,
        teacher=teacher_pseudonym(teacher=teacher, root=root),
        # To the second: nobody orders by a node's clock, and the rest only costs bytes on the link.
        rated_at=rating.rated_at.replace(microsecond=0),
    )


def _judge(answer: Answer, opinion: Opinion) -> None:
    if not answer.release or answer.status not in (Answer.Status.FINISHED, Answer.Status.STOPPED):
        raise RatingRefused(field="answer")
    if not 1 <= opinion.stars <= 5:  # noqa: PLR2004 - the scale itself
        raise RatingRefused(field="stars")
    if not 0 <= opinion.grade <= 11:  # noqa: PLR2004 - the grades themselves
        raise RatingRefused(field="grade")
    if not set(opinion.reasons) <= set(Reason.values):
        raise RatingRefused(field="reasons")
    if len(opinion.correction) > MAX_CORRECTION_CHARACTERS:
        raise RatingRefused(field="correction")


def _known_names() -> Sequence[str]:
    people = User.objects.exclude(first_name="", last_name="").values_list("first_name", "last_name")
    return [name for pair in people for name in pair if name]
