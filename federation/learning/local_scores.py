"""How a school's held-out labels fare under a model: numbers only, for the update's header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from federation.learning.answers import answer_nats, answer_totals
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
    nats = answer_nats(model, [lesson.wanted for lesson in held_out])
    pairs = [(lesson.wanted, lesson.given) for lesson in held_out if lesson.given is not None]
    wanted = answer_totals(model, [pair[0] for pair in pairs])
    given = answer_totals(model, [pair[1] for pair in pairs])
    preferred = sum(1 for more, less in zip(wanted, given, strict=True) if more > less)
    return Fare(sum(nats) / len(nats), preferred / max(1, len(pairs)))


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
