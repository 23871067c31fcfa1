"""The only writer of conversations: a question is asked, its answer is begun once, and it ends in one of three ways."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from federation.errors import WireError
from node.chat.engine_events import ChatMessage, EngineEvent
from node.chat.models import Answer, Conversation, Turn

MAX_QUESTION_CHARACTERS = 4000
# A school PC reads about 200 to 1,000 tokens a second; older turns than these cost more waiting than they are worth.
MAX_HISTORY_TURNS = 4


class QuestionRefused(WireError):
    """The question is empty or too long."""

    code = "question_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Whose conversation it is: a signed-in person, or a guest's browser."""

    person_id: int | None
    session_key: str

    @property
    def client(self) -> str:
        """The name in the engine's fair queue."""
        return f"person-{self.person_id}" if self.person_id is not None else f"guest-{self.session_key}"


@transaction.atomic
def question_ask(*, asker: Asker, conversation_id: UUID | None, question: str, now: datetime) -> Turn:
    """Return the new turn with its waiting answer, in the asker's conversation or in a new one.

    Raises:
        QuestionRefused: there is no text, or over 4,000 characters of it.
    """
    text = question.strip()
    if not 0 < len(text) <= MAX_QUESTION_CHARACTERS:
        raise QuestionRefused(characters=len(text), most=MAX_QUESTION_CHARACTERS)
    conversation = _conversation(asker, conversation_id, now)
    turn = Turn.objects.create(conversation=conversation, question=text, asked_at=now)
    Answer.objects.create(turn=turn)
    return turn


def _conversation(asker: Asker, conversation_id: UUID | None, now: datetime) -> Conversation:
    own = Conversation.objects.of(person_id=asker.person_id, session_key=asker.session_key)
    found = own.filter(pk=conversation_id).first() if conversation_id else None
    return found or Conversation.objects.create(
        person_id=asker.person_id,
        session_key="" if asker.person_id is not None else asker.session_key,
        started_at=now,
    )


def messages_of(turn: Turn) -> tuple[ChatMessage, ...]:
    """Return what the engine should read: the last finished turns before `turn`, then its question."""
    earlier = (
        Turn.objects.filter(conversation=turn.conversation_id, asked_at__lt=turn.asked_at)
        .filter(answer__status=Answer.Status.FINISHED)
        .select_related("answer")
        .order_by("-asked_at")[:MAX_HISTORY_TURNS]
    )
    messages: list[ChatMessage] = []
    for past in reversed(earlier):
        messages += [ChatMessage(role="user", text=past.question), ChatMessage(role="model", text=past.answer.text)]
    return (*messages, ChatMessage(role="user", text=turn.question))


def answer_begin(*, answer: Answer) -> bool:
    """Return whether the caller is the one who shall have this answer written; true once for each answer."""
    waiting = Answer.objects.filter(pk=answer.pk, status=Answer.Status.WAITING)
    return waiting.update(status=Answer.Status.WRITING) == 1


def answer_finish(*, answer: Answer, event: EngineEvent, now: datetime) -> None:
    """Keep what the engine answered, and the release that answered it."""
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
    return Answer.objects.filter(status=Answer.Status.WRITING).update(status=Answer.Status.STOPPED, finished_at=now)


def _end(answer: Answer, **fields: object) -> None:
    Answer.objects.filter(pk=answer.pk, status=Answer.Status.WRITING).update(**fields)
    answer.refresh_from_db()
