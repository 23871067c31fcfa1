"""What a school's labels teach: token ids of the answers that are wanted, preferred or rated, and of those held out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from federation.learning.chat import Conversation, ConversationTokenizer
from federation.wire.labels import LabelKind, TeacherLabel
from federation.wire.rounds import Example, Objective

MAX_TOKENS = 512
"""A question and its answer are learnt from no more than this many tokens."""


@dataclass(frozen=True, slots=True)
class CorrectionLesson:
    """The answer that a teacher wants, and the one that was given; None where that is unknown, empty or the same."""

    wanted: Conversation
    given: Conversation | None


@dataclass(frozen=True, slots=True)
class RatedLesson:
    """An answer that a teacher found good or bad; `elsewhere` is another rated answer to the same question.

    It is None where the school has rated only one answer.
    """

    conversation: Conversation
    is_good: bool
    elsewhere: Conversation | None


@dataclass(frozen=True, slots=True)
class Lessons:
    """All that one training learns from, and what it is measured by."""

    corrections: tuple[CorrectionLesson, ...]
    rated: tuple[RatedLesson, ...]
    held_out: tuple[CorrectionLesson, ...]

    @property
    def count(self) -> int:
        """Return how many labels are learnt from."""
        return len(self.corrections) + len(self.rated)

    @property
    def wanted(self) -> tuple[Conversation, ...]:
        """Return the answers whose nats tell how the learning goes: corrections, or else what was found good."""
        corrected = tuple(lesson.wanted for lesson in self.corrections)
        return corrected or tuple(lesson.conversation for lesson in self.rated if lesson.is_good)

    @property
    def conversations(self) -> tuple[Conversation, ...]:
        """Return one for each label that is learnt from."""
        return (*(lesson.wanted for lesson in self.corrections), *(lesson.conversation for lesson in self.rated))


def lessons_make(labels: Sequence[TeacherLabel], *, tokenizer: ConversationTokenizer, objective: Objective) -> Lessons:
    """Return the lessons of `labels`, in their order, without those of which no token of the answer would fit.

    Good and bad ratings teach only where the objective gives them weight, and given answers likewise.
    """

    def lessons(is_held_out: bool) -> tuple[CorrectionLesson, ...]:
        chosen = [label for label in labels if label.kind is LabelKind.CORRECTION and label.is_held_out == is_held_out]
        made = (_correction(tokenizer, label, objective, is_held_out=is_held_out) for label in chosen)
        return tuple(lesson for lesson in made if lesson is not None)

    rated = [label for label in labels if label.kind is not LabelKind.CORRECTION] if objective.ratings > 0 else []
    return Lessons(lessons(is_held_out=False), _rated(tokenizer, rated), lessons(is_held_out=True))


def anchors_make(anchors: Iterable[Example], *, tokenizer: ConversationTokenizer) -> tuple[Conversation, ...]:
    """Return the plan's anchors as token ids, without those of which no token of the answer would fit."""
    made = (conversation_make(tokenizer, anchor.prompt, anchor.answer) for anchor in anchors)
    return tuple(conversation for conversation in made if conversation is not None)


def _correction(
    tokenizer: ConversationTokenizer, label: TeacherLabel, objective: Objective, *, is_held_out: bool
) -> CorrectionLesson | None:
    wanted = conversation_make(tokenizer, label.prompt, label.correction)
    if wanted is None:
        return None
    is_compared = is_held_out or objective.preference > 0
    given = conversation_make(tokenizer, label.prompt, label.answer) if is_compared and label.answer.strip() else None
    return CorrectionLesson(wanted, None if given == wanted else given)


def _rated(tokenizer: ConversationTokenizer, labels: Sequence[TeacherLabel]) -> tuple[RatedLesson, ...]:
    made = (
        (label, conversation_make(tokenizer, label.prompt, label.answer)) for label in labels if label.answer.strip()
    )
    kept = [(label, conversation) for label, conversation in made if conversation is not None]
    lessons = []
    for place, (label, conversation) in enumerate(kept):
        other = kept[(place + 1) % len(kept)][0]
        elsewhere = conversation_make(tokenizer, label.prompt, other.answer) if len(kept) > 1 else None
        lessons.append(RatedLesson(conversation, label.kind is LabelKind.GOOD, elsewhere))
    return tuple(lessons)


def conversation_make(tokenizer: ConversationTokenizer, prompt: str, answer: str) -> Conversation | None:
    """Return a question and its answer as token ids; None where no token of the answer would fit."""
    conversation = tokenizer.conversation(Example(prompt=prompt, answer=answer), max_tokens=MAX_TOKENS)
    return conversation if len(conversation.ids) > conversation.answer_start else None
