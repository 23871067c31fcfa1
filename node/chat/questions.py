"""What the engine is to read and how it is to answer: from the turns that are kept, or from a page that keeps its own.

Reads and never writes. The words of a chat that is not stored pass through here and stay nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from node.chat.engine_events import ChatMessage, EngineOp, EngineRequest
from node.chat.errors import HistoryRefused, QuestionRefused
from node.chat.models import Answer, Turn
from node.chat.pitch import Lesson, lesson_instructions
from node.chat.sources import question_with_sources

MAX_QUESTION_CHARACTERS = 4000
# A school PC reads about 200 to 1,000 tokens a second; older turns than these cost more waiting than they are worth.
MAX_HISTORY_TURNS = 4
# Turns without an answer are passed over, but not a thousand of them.
_LOOKED_AT_TURNS = 16
# Far more than the 1,024 tokens that the engine writes at most have in any language.
MAX_ANSWER_CHARACTERS = 16000
# The first answer to a question is the likeliest one; whoever asks again wants another.
ANOTHER_TEMPERATURE = 0.8
ANOTHER_TOP_P = 0.95
_SEEDS = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An earlier question with its answer."""

    question: str
    answer: str
    passages: tuple[str, ...] = ()
    """What the engine read of the school's books with the question."""


def question_read(text: str) -> str:
    """Return the question without the space around it.

    Raises:
        QuestionRefused: there is no text, or over 4,000 characters of it.
    """
    question = text.strip()
    if not 0 < len(question) <= MAX_QUESTION_CHARACTERS:
        raise QuestionRefused(characters=len(question), most=MAX_QUESTION_CHARACTERS)
    return question


def history_read(text: str) -> tuple[Said, ...]:
    """Return the last turns of a chat that only its page knows, as the page sent them in JSON; empty text: none.

    Raises:
        HistoryRefused: it is not a list of questions and answers, or one of them is longer than any can be.
    """
    if not text:
        return ()
    try:
        plain = json.loads(text)
        return tuple(_said(entry) for entry in plain[-MAX_HISTORY_TURNS:])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise HistoryRefused from error


def _said(entry: dict[str, object]) -> Said:
    question, answer = entry["question"], entry["answer"]
    if not isinstance(question, str) or not isinstance(answer, str):
        raise TypeError
    # Half of a surrogate pair is JSON and no text: nothing behind this door could write it down.
    (question + answer).encode()
    if len(question) > MAX_QUESTION_CHARACTERS or len(answer) > MAX_ANSWER_CHARACTERS:
        raise HistoryRefused
    return Said(question=question, answer=answer)


def messages_make(
    *, history: Sequence[Said], question: str, lesson: Lesson, passages: Sequence[str] = ()
) -> tuple[ChatMessage, ...]:
    """Return what the engine should read.

    Passages stand before the question that they were found for, there and in each later turn: the engine keeps what it
    has read, and reads on only as long as a prompt begins as one before did.
    """
    instructions = lesson_instructions(lesson)
    messages = [ChatMessage(role="system", text=instructions)] if instructions else []
    for said in history:
        asked = question_with_sources(said.question, said.passages)
        messages += [ChatMessage(role="user", text=asked), ChatMessage(role="model", text=said.answer)]
    return (*messages, ChatMessage(role="user", text=question_with_sources(question, passages)))


def request_make(*, turn: Turn, client: str, generation: str, most_waiting: int = 0) -> EngineRequest:
    """Return what the engine is asked for `turn`: another wording where the question was answered before."""
    is_again = _is_answered_before(turn)
    return EngineRequest(
        op=EngineOp.GENERATE,
        client=client,
        most_waiting=most_waiting,
        generation=generation,
        messages=messages_make(
            history=_history(turn), question=turn.question, lesson=turn.lesson, passages=_texts(turn)
        ),
        temperature=ANOTHER_TEMPERATURE if is_again else 0.0,
        top_p=ANOTHER_TOP_P if is_again else 1.0,
        # The turn's own number, so that nothing here is left to chance.
        seed=turn.pk.int % _SEEDS,
    )


def _history(turn: Turn) -> list[Said]:
    """Return the last finished turns on the way to `turn`, oldest first."""
    said: list[Said] = []
    parent_id = turn.parent_id
    for _looked_at in range(_LOOKED_AT_TURNS):
        past = Turn.objects.filter(pk=parent_id).select_related("answer").first() if parent_id else None
        if past is None or len(said) == MAX_HISTORY_TURNS:
            break
        if past.answer.status == Answer.Status.FINISHED:
            said.append(Said(question=past.question, answer=past.answer.text, passages=_texts(past)))
        parent_id = past.parent_id
    return said[::-1]


def _texts(turn: Turn) -> tuple[str, ...]:
    return tuple(passage.text for passage in turn.passages_left())


def _is_answered_before(turn: Turn) -> bool:
    versions = Turn.objects.filter(
        conversation=turn.conversation_id,
        parent=turn.parent_id,
        question=turn.question,
        subject=turn.subject,
        grade=turn.grade,
        is_hinted=turn.is_hinted,
    )
    return versions.exclude(pk=turn.pk).exclude(answer__text="").exists()
