"""Which answers are worth a teacher's time first. Pure: what was asked and answered in, an order with its reasons out.

Rules, in order: teachers who disagree about a question go before anything; then answers of which the model itself was
not sure, as it answered the same question in two ways, or the asker broke off or asked again; then questions that many
asked; then the newest. One answer stands for all that are word for word the same, and one that the teacher has rated
somewhere needs no second rating.
"""

from __future__ import annotations

import enum
import math
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from node.ratings.stars import BAD_STARS, GOOD_STARS

OFTEN_ASKED = 3
MOST_FOR_OFTEN = 3.0


class Signal(enum.Enum):
    """Why an answer is worth rating, in the order of their weight."""

    DISPUTED = "disputed"
    UNSURE = "unsure"
    OFTEN = "often"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer, as far as its urgency goes."""

    answer_id: UUID
    conversation_id: UUID
    question: str
    text: str
    release: str
    is_stopped: bool
    finished_at: datetime
    stars: tuple[int, ...] = ()
    """Of all ratings of it in force."""


@dataclass(frozen=True, slots=True)
class Urgent:
    """An answer's place in the queue, and why; `asked` is in how many conversations its question was asked."""

    answer_id: UUID
    signals: tuple[Signal, ...]
    asked: int


@dataclass(slots=True)
class _Question:
    conversations: list[UUID] = field(default_factory=list)
    texts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    stars: list[int] = field(default_factory=list)


def question_key(question: str) -> str:
    """Return the words of a question alone, so that capitals and marks make no other question of it."""
    return " ".join(re.findall(r"\w+", question.casefold()))


def urgency_order(answered: Sequence[Answered], *, rated: Collection[UUID]) -> tuple[Urgent, ...]:
    """Return the answers that are worth rating, the most urgent first; `rated` are those that the teacher has rated."""
    questions: dict[str, _Question] = defaultdict(_Question)
    for each in answered:
        question = questions[question_key(each.question)]
        question.conversations.append(each.conversation_id)
        question.stars += each.stars
        if not each.is_stopped:
            question.texts[each.release].add(each.text)
    done = {_pair(each) for each in answered if each.answer_id in rated}
    ranked: list[tuple[float, datetime, Urgent]] = []
    # By id, too, so that the order is the same whatever the database's was.
    for each in sorted(answered, key=lambda one: (one.finished_at, one.answer_id), reverse=True):
        if _pair(each) not in done:
            done.add(_pair(each))
            question = questions[question_key(each.question)]
            asked = len(set(question.conversations))
            signals = _signals(each, question, asked)
            ranked.append((_weight(signals, asked), each.finished_at, Urgent(each.answer_id, signals, asked)))
    ranked.sort(key=lambda entry: entry[:2], reverse=True)
    return tuple(urgent for _weight_, _at, urgent in ranked)


def _pair(each: Answered) -> tuple[str, str]:
    return question_key(each.question), each.text


def _signals(each: Answered, question: _Question, asked: int) -> tuple[Signal, ...]:
    is_disputed = any(stars >= GOOD_STARS for stars in question.stars) and min(question.stars) <= BAD_STARS
    asked_again = question.conversations.count(each.conversation_id) > 1
    is_unsure = each.is_stopped or asked_again or len(question.texts[each.release]) > 1
    present = {Signal.DISPUTED: is_disputed, Signal.UNSURE: is_unsure, Signal.OFTEN: asked >= OFTEN_ASKED}
    return tuple(signal for signal, is_present in present.items() if is_present)


def _weight(signals: tuple[Signal, ...], asked: int) -> float:
    often = min(math.log2(asked), MOST_FOR_OFTEN) if Signal.OFTEN in signals else 0.0
    return 8.0 * (Signal.DISPUTED in signals) + 4.0 * (Signal.UNSURE in signals) + often
