"""How a school's held-out labels fare under a model: numbers only, for the update's header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from federation.learning.answers import answer_totals, answers_judge
from federation.learning.lessons import CorrectionLesson
from federation.wire.rounds import LocalScores


@dataclass(frozen=True, slots=True)
class Fare:
    """Mean nats a token of the wanted answers, and the share of pairs of which the wanted one is found likelier."""

    nats: float
    preferred: float


def fare_measure(model: Any, held_out: Sequence[CorrectionLesson]) -> Fare | None:  # noqa: ANN401 - transformers is untyped
    """Return how `held_out` fares under `model`; None without any. Where no answer was given, none is preferred."""
    if not held_out:
        return None
    logprobs = [read.logprobs for read in answers_judge(model, [lesson.wanted for lesson in held_out])]
    paired = zip(logprobs, held_out, strict=True)
    wanted = [float(each.sum()) for each, lesson in paired if lesson.given is not None]
    given = answer_totals(model, [lesson.given for lesson in held_out if lesson.given is not None])
    preferred = sum(1 for more, less in zip(wanted, given, strict=True) if more > less)
    nats = -sum(float(each.mean()) for each in logprobs) / len(logprobs)
    return Fare(nats, preferred / max(1, len(given)))


def scores_of(*, labels: int, before: Fare | None, after: Fare | None) -> LocalScores | None:
    """Return both measurements as they travel."""
    if before is None or after is None:
        return None
    return LocalScores(
        labels=labels,
        nats_before=before.nats,
        nats_after=after.nats,
        preferred_before=before.preferred,
        preferred_after=after.preferred,
    )
