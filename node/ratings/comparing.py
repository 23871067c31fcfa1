"""The only writer of comparisons: asked, written once, chosen once; whose a side is was drawn and is told last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.contrib.auth.models import User

from federation.errors import WireError
from node.chat.engine_events import EngineEvent, EngineOp, EngineRequest
from node.chat.pitch import Lesson
from node.chat.questions import messages_make, question_read
from node.chat.services import Asker
from node.installed.services import releases_beside
from node.ratings.models import Choice, Comparison

SAMPLE_TEMPERATURE = 0.8
SEEDS = 2**31


class ComparisonRefused(WireError):
    """The comparison has no answers yet, has been chosen in already, or the choice is none."""

    code = "comparison_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often the school chose which of two releases, without knowing it."""

    newer: int
    older: int
    for_newer: int
    for_older: int
    undecided: int


def comparison_begin(*, teacher: User, question: str, now: datetime) -> Comparison:
    """Return a comparison that waits for its two answers.

    Raises:
        QuestionRefused: there is no text, or over 4,000 characters of it.
    """
    return Comparison.objects.create(teacher=teacher, question=question_read(question), asked_at=now)


def engine_requests(*, comparison: Comparison, root: Path, draw: Callable[[int], int]) -> list[EngineRequest]:
    """Return what to ask the engine, the left side first; `draw(n)` returns a number below n.

    The running release and the newest one kept beside it, each as the page would answer; without that one, two samples.
    """
    beside = releases_beside(root=root)
    earlier = beside[0].digest if beside else ""
    requests = [
        EngineRequest(
            op=EngineOp.GENERATE,
            client=Asker(person_id=comparison.teacher_id, session_key="").client,
            generation=f"{comparison.pk}-{side}",
            messages=messages_make(history=(), question=comparison.question, lesson=Lesson()),
            release=release,
            temperature=0.0 if earlier else SAMPLE_TEMPERATURE,
            seed=0 if earlier else draw(SEEDS),
        )
        for side, release in enumerate(("", earlier))
    ]
    return requests[::-1] if draw(2) else requests


def comparison_write(*, comparison: Comparison, left: EngineEvent, right: EngineEvent) -> None:
    """Keep the two answers; of two that were written at once the first stay."""
    Comparison.objects.filter(pk=comparison.pk, is_written=False).update(
        is_written=True,
        left_text=left.text,
        right_text=right.text,
        left_version=left.version,
        right_version=right.version,
    )
    comparison.refresh_from_db()


def comparison_choose(*, comparison: Comparison, choice: str) -> None:
    """Keep the teacher's choice, which is final: after it the page tells whose answer was which.

    Raises:
        ComparisonRefused: there are no answers yet, it was chosen before, or `choice` is none.
    """
    waiting = Comparison.objects.filter(pk=comparison.pk, is_written=True, choice=Choice.NONE)
    if choice not in Choice.values or choice == Choice.NONE or waiting.update(choice=choice) != 1:
        raise ComparisonRefused(choice=choice)


def tallies_read() -> tuple[Tally, ...]:
    """Return the choices between two releases, the newest pair first."""
    chosen = Comparison.objects.exclude(choice=Choice.NONE)
    return tallies_count(list(chosen.values_list("left_version", "right_version", "choice")))


def tallies_count(choices: Sequence[tuple[int, int, str]]) -> tuple[Tally, ...]:
    """Return one tally a pair of different releases; `choices` are left version, right version and choice."""
    counts: dict[tuple[int, int], Counter[str]] = {}
    for left, right, choice in choices:
        if left != right:
            winner = {Choice.LEFT.value: left, Choice.RIGHT.value: right}.get(choice)
            word = "undecided" if winner is None else "newer" if winner == max(left, right) else "older"
            counts.setdefault((max(left, right), min(left, right)), Counter())[word] += 1
    return tuple(
        Tally(
            newer=newer,
            older=older,
            for_newer=counts[newer, older]["newer"],
            for_older=counts[newer, older]["older"],
            undecided=counts[newer, older]["undecided"],
        )
        for newer, older in sorted(counts, reverse=True)
    )
