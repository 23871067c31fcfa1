"""Read what the teacher's pages show: the queue in the order of urgency, and what a class asks. Decides nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.models import User

from node.chat.models import Answer, Turn
from node.people.models import SchoolClass
from node.ratings.masking import text_mask
from node.ratings.models import Rating
from node.ratings.services import known_names
from node.ratings.stars import BAD_STARS
from node.ratings.topics import Topic, topics_count
from node.ratings.urgency import Answered, Urgent, urgency_order
from node.ratings.visible import answers_visible
from node.subjects import Subject

# What is older was answered by releases that nobody runs any more; a school asks some thousand questions meanwhile.
WINDOW = timedelta(days=60)
MOST_ANSWERS = 3000
MOST_FLAGGED = 20


def queue_read(*, teacher: User, now: datetime) -> tuple[Urgent, ...]:
    """Return what the teacher has not rated yet, the most urgent first."""
    rows = answers_visible(teacher).filter(finished_at__gt=now - WINDOW).order_by("-finished_at")[:MOST_ANSWERS]
    ratings = Rating.objects.active().filter(rated_at__gt=now - 2 * WINDOW)
    stars: dict[UUID, list[int]] = defaultdict(list)
    for answer_id, given in ratings.values_list("answer_id", "stars"):
        stars[answer_id].append(given)
    return urgency_order(
        [_answered(answer, tuple(stars[answer.pk])) for answer in rows],
        rated=set(Rating.objects.active().filter(teacher=teacher).values_list("answer_id", flat=True)),
    )


def _answered(answer: Answer, stars: tuple[int, ...]) -> Answered:
    return Answered(
        answer_id=answer.pk,
        conversation_id=answer.turn.conversation_id,
        question=answer.turn.question,
        text=answer.text,
        release=answer.release,
        is_stopped=answer.status == Answer.Status.STOPPED,
        finished_at=answer.finished_at or answer.turn.asked_at,
        stars=stars,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassView:
    """What a class asks and what teachers found bad, without a pupil's name or count."""

    questions: int
    topics: tuple[Topic, ...]
    subjects: tuple[tuple[str, int], ...]
    flagged: tuple[Rating, ...]


def class_read(*, school_class: SchoolClass, now: datetime) -> ClassView:
    """Return the class's view of the last two months."""
    turns = Turn.objects.filter(conversation__person__pupil__school_class=school_class, asked_at__gt=now - WINDOW)
    names = known_names()
    asked = [
        (person_id, text_mask(question, names=names).text)
        for person_id, question in turns.values_list("conversation__person_id", "question")
        if person_id is not None
    ]
    ratings = Rating.objects.active().filter(answer__turn__in=turns)
    subjects = Counter(str(Subject(subject).label) for subject in ratings.values_list("subject", flat=True) if subject)
    flagged = ratings.filter(stars__lte=BAD_STARS).select_related("answer").order_by("-rated_at")
    return ClassView(
        questions=len(asked),
        topics=tuple(topics_count(asked)),
        subjects=tuple(subjects.most_common()),
        flagged=tuple(flagged[:MOST_FLAGGED]),
    )
