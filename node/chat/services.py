"""The only writer of conversations: a question is asked, its answer is begun once, and it ends in one of three ways.

A question may be edited, or answered anew: that is another turn beside the first, and neither is lost. A conversation
that its asker deletes is gone, but for answers that a teacher has rated: of those the words go and the row stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import ProtectedError
from django.utils.crypto import salted_hmac

from node.chat.engine_events import EngineEvent
from node.chat.errors import ConversationMissing, DeviceCrowded, TitleRefused, TooManyWaiting, room_expected
from node.chat.models import (
    DEVICE_DIGITS,
    TITLE_CHARACTERS,
    Answer,
    Citation,
    Conversation,
    ConversationQuerySet,
    Turn,
)
from node.chat.pitch import Lesson
from node.chat.questions import question_read
from node.textbooks.finding import passages_find
from node.textbooks.models import Passage

# Whoever asks more before the first is answered waits in line with the others; a script that asks thousands does not.
MAX_WAITING = 3
# Some pupils share a tablet, and a class may sit behind one small router; a script gains nothing by new cookies.
MAX_WAITING_OF_DEVICE = 12
# An answer that nobody came to read, because the page was closed at once, does not count for ever.
WAITING_COUNTS_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Whose conversation it is: a signed-in person, or a guest's browser."""

    person_id: int | None
    session_key: str
    address: str = ""
    """Of the device on the school's network; it counts for guests, who can drop a cookie and not an address."""

    @property
    def client(self) -> str:
        """The name in the engine's fair queue: all guests of one device have one turn."""
        if self.person_id is not None:
            return f"person-{self.person_id}"
        return f"device-{self.device}" if self.device else f"guest-{self.session_key}"

    @property
    def device(self) -> str:
        """The guest's device, by a digest under the node's secret; empty for a person."""
        if self.person_id is not None or not self.address:
            return ""
        return salted_hmac("node.chat.device", self.address, algorithm="sha256").hexdigest()[:DEVICE_DIGITS]

    @property
    def most_waiting(self) -> int:
        """How many questions of the client may stand before the engine; 0: any number."""
        return MAX_WAITING_OF_DEVICE if self.device else 0

    def conversations(self) -> ConversationQuerySet:
        """Return the conversations that are the asker's."""
        return Conversation.objects.of(person_id=self.person_id, session_key=self.session_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where in which conversation a question is asked; nothing: in a new one."""

    conversation_id: UUID | None = None
    after: UUID | None = None
    """The turn that it follows; None: whichever was asked last."""
    instead: UUID | None = None
    """The turn beside which it stands, as an edited version."""


@room_expected()
def question_ask(*, asker: Asker, where: Where, question: str, lesson: Lesson, now: datetime) -> Turn:
    """Return the new turn with its waiting answer, and with the passages of the school's books that it may draw from.

    Raises:
        QuestionRefused: there is no text, or over 4,000 characters of it.
        TooManyWaiting: three of the asker's questions have no answer yet.
        DeviceCrowded: twelve of guests on the asker's device have none.
        ConversationMissing: `where` is not the asker's.
        StoreFull: the disk is full.
    """
    text = question_read(question)
    # Before the transaction: it needs some hundredths of a second, and only one process at a time may write.
    passages = passages_find(question=text, subject=lesson.subject, grade=lesson.grade)
    return _ask(asker, where, _Asked(text=text, lesson=lesson, passages=passages), now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    text: str
    lesson: Lesson
    passages: Sequence[Passage]


@transaction.atomic
def _ask(asker: Asker, where: Where, asked: _Asked, now: datetime) -> Turn:
    _waiting_check(asker, now)
    if where.conversation_id is None:
        conversation, parent = _conversation_begin(asker, now), None
    else:
        conversation = _own(asker, where.conversation_id)
        parent = _parent(conversation, where)
    return _turn_make(conversation, parent, asked, device=asker.device, now=now)


@room_expected()
def question_repeat(*, asker: Asker, answer: Answer, now: datetime) -> Turn:
    """Return the turn whose waiting answer is another one to the same question.

    An answer that failed waits again itself, because nobody would look at it beside a good one. Another one draws from
    the same passages, which the engine has read with the question already; where they are gone, from what there is now.

    Raises:
        TooManyWaiting, DeviceCrowded, ConversationMissing, StoreFull: as `question_ask`.
    """
    turn = answer.turn
    passages = turn.passages_left() or passages_find(question=turn.question, subject=turn.subject, grade=turn.grade)
    return _repeat(asker, answer, _Asked(text=turn.question, lesson=turn.lesson, passages=passages), now)


@transaction.atomic
def _repeat(asker: Asker, answer: Answer, asked: _Asked, now: datetime) -> Turn:
    _waiting_check(asker, now)
    turn = answer.turn
    failed = Answer.objects.filter(pk=answer.pk, status=Answer.Status.FAILED)
    if failed.update(status=Answer.Status.WAITING, error_code="", finished_at=None, device=asker.device) == 1:
        return turn
    conversation = _own(asker, turn.conversation_id)
    return _turn_make(conversation, turn.parent, asked, device=asker.device, now=now)


def _own(asker: Asker, conversation_id: UUID) -> Conversation:
    conversation = asker.conversations().filter(pk=conversation_id).first()
    if conversation is None:
        raise ConversationMissing
    return conversation


def _waiting_check(asker: Asker, now: datetime) -> None:
    under_way = Answer.objects.filter(
        status__in=[Answer.Status.WAITING, Answer.Status.WRITING], turn__asked_at__gt=now - WAITING_COUNTS_FOR
    )
    waiting = under_way.filter(turn__conversation__in=asker.conversations()).count()
    if waiting >= MAX_WAITING:
        raise TooManyWaiting(waiting=waiting, most=MAX_WAITING)
    waiting = under_way.filter(device=asker.device).count() if asker.device else 0
    if waiting >= MAX_WAITING_OF_DEVICE:
        raise DeviceCrowded(waiting=waiting, most=MAX_WAITING_OF_DEVICE)


def _conversation_begin(asker: Asker, now: datetime) -> Conversation:
    return Conversation.objects.create(
        person_id=asker.person_id,
        session_key="" if asker.person_id is not None else asker.session_key,
        started_at=now,
    )


def _parent(conversation: Conversation, where: Where) -> Turn | None:
    wanted = where.instead or where.after
    if wanted is None:
        return conversation.turns.order_by("-asked_at").first()
    turn = conversation.turns.filter(pk=wanted).select_related("parent").first()
    if turn is None:
        raise ConversationMissing
    return turn.parent if where.instead else turn


def _turn_make(conversation: Conversation, parent: Turn | None, asked: _Asked, *, device: str, now: datetime) -> Turn:
    turn = Turn.objects.create(
        conversation=conversation,
        parent=parent,
        question=asked.text,
        subject=asked.lesson.subject,
        grade=asked.lesson.grade,
        is_hinted=asked.lesson.is_hinted,
        asked_at=now,
    )
    Answer.objects.create(turn=turn, device=device)
    # A book may have been taken away since its passages were found.
    there = Passage.objects.select_related("textbook").in_bulk([passage.pk for passage in asked.passages])
    citations = citations_make([there[passage.pk] for passage in asked.passages if passage.pk in there])
    for citation in citations:
        citation.turn = turn
    Citation.objects.bulk_create(citations)
    return turn


def citations_make(passages: Sequence[Passage]) -> list[Citation]:
    """Return the citations of an answer that is given `passages`; of no turn yet, and not kept."""
    return [
        Citation(number=number, passage=passage, title=passage.textbook.title, page=passage.page)
        for number, passage in enumerate(passages, start=1)
    ]


@room_expected()
def conversation_rename(*, conversation: Conversation, title: str) -> None:
    """Give `conversation` a title of its own.

    Raises:
        TitleRefused: there is no text, or over 80 characters of it.
        StoreFull: the disk is full.
    """
    text = " ".join(title.split())
    if not 0 < len(text) <= TITLE_CHARACTERS:
        raise TitleRefused(most=TITLE_CHARACTERS)
    Conversation.objects.filter(pk=conversation.pk).update(title=text)


@room_expected()
@transaction.atomic
def conversation_delete(*, conversation: Conversation) -> None:
    """Take `conversation` away with every word in it.

    A rating holds its answer's row and has a text of its own, already masked. So such a row stays, nobody's, and empty.

    Raises:
        StoreFull: the disk is full.
    """
    try:
        with transaction.atomic():
            conversation.delete()
    except ProtectedError:
        for turn in conversation.turns.all():
            _turn_erase(turn)
        Conversation.objects.filter(pk=conversation.pk).update(person=None, session_key="", title="")


def _turn_erase(turn: Turn) -> None:
    try:
        with transaction.atomic():
            turn.delete()
    except ProtectedError:
        Turn.objects.filter(pk=turn.pk).update(question="", parent=None)
        turn.citations.all().delete()
        # Without its release the answer waits for no rating any more.
        Answer.objects.filter(turn=turn).update(status=Answer.Status.STOPPED, text="", release="", release_version=0)


@room_expected()
def answer_begin(*, answer: Answer) -> bool:
    """Return whether the caller is the one who shall have this answer written; true once for each answer.

    Raises:
        StoreFull: the disk is full.
    """
    waiting = Answer.objects.filter(pk=answer.pk, status=Answer.Status.WAITING)
    return waiting.update(status=Answer.Status.WRITING) == 1


@room_expected()
def answer_finish(*, answer: Answer, event: EngineEvent, now: datetime) -> None:
    """Keep what the engine answered, and the release that answered it.

    Raises:
        StoreFull: the disk is full; `answer` itself has the words all the same.
    """
    _end(
        answer,
        status=Answer.Status.STOPPED if event.is_stopped else Answer.Status.FINISHED,
        text=event.text,
        release=event.release,
        release_version=event.version,
        finished_at=now,
    )


def answer_stop(*, answer: Answer, text: str, now: datetime) -> None:
    """Keep the part that was written before the reader left."""
    _end(answer, status=Answer.Status.STOPPED, text=text, finished_at=now)


def answer_fail(*, answer: Answer, code: str, now: datetime) -> None:
    """Keep the code that says why there is no answer."""
    _end(answer, status=Answer.Status.FAILED, error_code=code, finished_at=now)


def answers_abandon(*, now: datetime) -> int:
    """Return how many answers were being written when the page last ended; they now count as stopped."""
    # Nobody reads any more what nobody has come to read since then.
    Answer.objects.exclude(device="").update(device="")
    return Answer.objects.filter(status=Answer.Status.WRITING).update(status=Answer.Status.STOPPED, finished_at=now)


def _end(answer: Answer, **fields: object) -> None:
    # First in memory: whoever reads on gets the words, also where the disk has no room for them.
    for name, value in fields.items():
        setattr(answer, name, value)
    Answer.objects.filter(pk=answer.pk, status=Answer.Status.WRITING).update(device="", **fields)
