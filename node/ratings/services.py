"""The only writer of ratings: a rating that is sent and its parcel are one transaction, an edit is a new revision.

Rules, in order: a text is masked before it is kept, so what is kept, trained on and sent is one text; nothing is sent
that the teacher was not shown, so one tap is held at the school until its texts were looked at; a teacher is named
outside the school only by an HMAC under a secret that never leaves the node; what an answer has copied from a textbook
stays at the school with the book; a withdrawal is a tombstone, ends its
record for good, and takes back what had not left yet.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction

from federation.errors import WireError
from federation.wire.canonical import to_plain
from federation.wire.feedback import ParcelKind, RatingBody
from node.chat.models import Answer, Citation
from node.outbox.services import parcel_append, parcels_erase
from node.ratings.masking import Masked, PersonalKind, text_mask
from node.ratings.models import Rating, Reason, Sharing
from node.ratings.quoting import numbers_drop, quotes_find
from node.ratings.stars import BAD_STARS, GOOD_STARS
from node.root import secret_read

MAX_CORRECTION_CHARACTERS = 8000
MAX_MASKED_WORDS, MAX_MASKED_CHARACTERS = 50, 200
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
    masked_words: tuple[str, ...] = ()
    """Beside what the rules find; stays at the school."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """The texts of a rating as they would leave the school."""

    question: Masked
    answer: Masked
    correction: Masked

    @property
    def masked_count(self) -> int:
        """How many personal marks were masked."""
        return len(self._found()) - self.quoted_count

    @property
    def quoted_count(self) -> int:
        """How many pieces of textbooks were left out."""
        return self._found().count(PersonalKind.BOOK)

    def _found(self) -> list[PersonalKind]:
        return [kind for text in (self.question, self.answer, self.correction) for kind, _words in text.found]


def rating_preview(*, answer: Answer, opinion: Opinion) -> Outgoing:
    """Return exactly the texts that `rating_record` would keep and send.

    Raises:
        RatingRefused: the answer is not finished, or the opinion is out of range.
    """
    _judge(answer, opinion)
    names = known_names()
    correction = opinion.correction.strip()
    if correction == answer.text.strip():
        correction = ""
    # Of the whole conversation: an answer may draw from what was read with an earlier question, too.
    citations = Citation.objects.filter(turn__conversation=answer.turn.conversation_id).select_related("passage")
    sources = [citation.passage.text for citation in citations if citation.passage]

    def masked(text: str) -> Masked:
        bare = numbers_drop(text, numbers=[citation.number for citation in citations])
        quotes = quotes_find(bare, sources=sources)
        return text_mask(bare, names=names, words=opinion.masked_words, quotes=quotes)

    return Outgoing(
        question=text_mask(answer.turn.question, names=names, words=opinion.masked_words),
        answer=masked(answer.text),
        correction=masked(correction),
    )


@transaction.atomic
def rating_record(
    *, answer: Answer, teacher: User, opinion: Opinion, now: datetime, root: Path, is_held: bool = False
) -> Rating:
    """Return the rating, kept together with its parcel; a second one by the same teacher is a new revision.

    After a withdrawal it is a new record: the old one's tombstone would take its words, too. `is_held`: the rating
    stays at the school, without a parcel; one that was sent before is withdrawn first.

    Raises:
        RatingRefused: see `rating_preview`.
    """
    texts = rating_preview(answer=answer, opinion=opinion)
    previous = Rating.objects.active().select_for_update().filter(answer=answer, teacher=teacher).first()
    if previous and is_held and previous.sharing == Sharing.SENT:
        rating_withdraw(rating=previous, now=now)
        previous = None
    Rating.objects.active().filter(answer=answer, teacher=teacher).update(is_active=False)
    rating = Rating.objects.create(
        record_id=previous.record_id if previous else secrets.token_hex(ID_BYTES),
        revision=previous.revision + 1 if previous else 1,
        sharing=Sharing.HELD if is_held else Sharing.SENT,
        masked_words=list(opinion.masked_words),
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
    if not is_held:
        _parcel(rating, ParcelKind.RATING, to_plain(_body(rating, teacher, root)), now)
    return rating


@transaction.atomic
def rating_tap(*, answer: Answer, teacher: User, is_good: bool, now: datetime, root: Path) -> Rating:
    """Return the rating after one tap: good is 4 stars and bad 2, held at the school; what else was said stays.

    Raises:
        RatingRefused: see `rating_preview`; or the rating has been sent, so that a change of it is looked at first.
    """
    previous = Rating.objects.active().select_for_update().filter(answer=answer, teacher=teacher).first()
    # What counts as good or bad everywhere, and claims no more than a tap says.
    stars = GOOD_STARS if is_good else BAD_STARS
    if previous is None:
        opinion = Opinion(stars=stars)
    elif previous.sharing == Sharing.SENT:
        raise RatingRefused(field="sharing")
    elif previous.stars >= GOOD_STARS if is_good else previous.stars <= BAD_STARS:
        return previous
    else:
        opinion = replace(opinion_of(previous), stars=stars)
    return rating_record(answer=answer, teacher=teacher, opinion=opinion, now=now, root=root, is_held=True)


@transaction.atomic
def rating_send(*, record_id: str, revision: int, teacher: User, now: datetime, root: Path) -> None:
    """Hand a held rating of the teacher to the outbox, in the very revision that the teacher was shown.

    Raises:
        RatingRefused: it has changed since, was withdrawn, or is sent already.
    """
    held = Rating.objects.held().filter(record_id=record_id, revision=revision, teacher=teacher)
    rating = held.first()
    if rating is None or held.update(sharing=Sharing.SENT) != 1:
        raise RatingRefused(field="revision")
    _parcel(rating, ParcelKind.RATING, to_plain(_body(rating, teacher, root)), now)


@transaction.atomic
def rating_withdraw(*, rating: Rating, now: datetime) -> None:
    """Take a rating back: it no longer counts here, a tombstone tells the centre, and no parcel holds its words.

    Of a rating that was held the centre hears nothing.
    """
    if Rating.objects.active().filter(pk=rating.pk).update(is_active=False, revision=rating.revision + 1) != 1:
        raise RatingRefused(field="is_active")
    rating.refresh_from_db()
    if rating.sharing == Sharing.SENT:
        parcels_erase(record_id=rating.record_id)
        _parcel(rating, ParcelKind.TOMBSTONE, {}, now)


def opinion_of(rating: Rating) -> Opinion:
    """Return what the teacher said in `rating`."""
    return Opinion(
        stars=rating.stars,
        reasons=tuple(rating.reasons),
        correction=rating.correction,
        subject=rating.subject,
        grade=rating.grade,
        masked_words=tuple(rating.masked_words),
    )


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
    if len(opinion.masked_words) > MAX_MASKED_WORDS or max(map(len, opinion.masked_words), default=0) > (
        MAX_MASKED_CHARACTERS
    ):
        raise RatingRefused(field="masked_words")


def known_names() -> Sequence[str]:
    """Return the names of everybody who has an account, each word of them."""
    people = User.objects.exclude(first_name="", last_name="").values_list("first_name", "last_name")
    return [name for pair in people for part in pair for name in part.split()]
