"""What each step of a training adds to the loss: which lessons have their turn, and how much each part weighs.

How the model stood at the start is measured once, here: the reference of preferences and ratings, and the predictions
to which anchors are held. Corrections, pairs and ratings weigh as means over those of the step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from federation.learning.answers import answer_totals, answers_judge
from federation.learning.chat import Conversation
from federation.learning.lessons import Lessons
from federation.learning.objective import Corrected, Pulled, Rated, Term
from federation.wire.rounds import Objective

OWN_A_STEP = 8
RATED_A_STEP = 4
ANCHORS_A_STEP = 4
ANCHOR_PULL = 0.5
"""Weight of the anchors' mean cross-entropy against that of the school's own corrections."""
ANCHOR_HOLD = 1.0
"""Weight of the anchors' mean divergence from the start's own predictions; measured, see docs/decisions."""

_T = TypeVar("_T")


class StepTerms:
    """The terms of every step, made when the model's deltas are still zero."""

    def __init__(
        self,
        *,
        model: Any,  # noqa: ANN401 - transformers is untyped
        objective: Objective,
        lessons: Lessons,
        anchors: Sequence[Conversation],
        takes_all: bool = False,
    ) -> None:
        """Measure how `model` stands at the start; with `takes_all` every step is to look at all lessons."""
        self._own_a_step = max(OWN_A_STEP, len(lessons.corrections)) if takes_all else OWN_A_STEP
        self._rated_a_step = max(RATED_A_STEP, len(lessons.rated)) if takes_all else RATED_A_STEP
        self._model, self._objective, self._lessons = model, objective, lessons
        self._anchors = [
            Pulled(each, ANCHOR_PULL, ANCHOR_HOLD, read.mean)
            for each, read in zip(anchors, answers_judge(model, anchors), strict=True)
        ]
        self._margins = _margins(model, lessons)
        self._totals = answer_totals(model, [lesson.conversation for lesson in lessons.rated])
        elsewhere = [lesson.elsewhere for lesson in lessons.rated if lesson.elsewhere is not None]
        self._totals_elsewhere = answer_totals(model, elsewhere)
        self._side_weights = _side_weights(lessons)

    @property
    def steps_a_pass(self) -> int:
        """Return after how many steps every correction, or else every other rating, has had its turn."""
        corrections, rated = len(self._lessons.corrections), len(self._lessons.rated)
        return math.ceil(corrections / self._own_a_step) or math.ceil(rated / self._rated_a_step)

    def corrections(self, step: int) -> list[Term]:
        """Return the terms of the corrections whose turn it is."""
        turn = _rotation(range(len(self._lessons.corrections)), step, self._own_a_step)
        pairs = sum(1 for place in turn if place in self._margins)
        return [
            self._correction(place, pull=1 / len(turn), weight=self._objective.preference / max(1, pairs))
            for place in turn
        ]

    def rated(self, step: int) -> list[Rated]:
        """Return the terms of the other ratings whose turn it is; how far the model has drifted is measured now."""
        turn = _rotation(range(len(self._lessons.rated)), step, self._rated_a_step)
        drift = self._drift(turn)
        return [self._rating(place, self._objective.ratings / len(turn), drift) for place in turn]

    def anchors(self, step: int) -> list[Pulled]:
        """Return the terms of the anchors whose turn it is."""
        turn = _rotation(self._anchors, step, ANCHORS_A_STEP)
        share = 1 / max(1, len(turn))
        return [Pulled(each.conversation, each.pull * share, each.hold * share, each.base_mean) for each in turn]

    def _correction(self, place: int, *, pull: float, weight: float) -> Term:
        lesson = self._lessons.corrections[place]
        if lesson.given is None:
            return Pulled(lesson.wanted, pull)
        beta = self._objective.beta
        return Corrected(lesson.wanted, lesson.given, pull, weight, beta, self._margins[place])

    def _rating(self, place: int, weight: float, drift: float) -> Rated:
        lesson = self._lessons.rated[place]
        side = self._side_weights[lesson.is_good]
        beta = self._objective.beta
        return Rated(lesson.conversation, lesson.is_good, weight * side, beta, self._totals[place], drift)

    def _drift(self, turn: Sequence[int]) -> float:
        """Return how much likelier answers to other questions became, mean over `turn`, in nats; never below 0."""
        if not self._totals_elsewhere:
            return 0.0
        elsewhere = [lesson.elsewhere for place in turn if (lesson := self._lessons.rated[place]).elsewhere is not None]
        now = answer_totals(self._model, elsewhere)
        gains = [total - self._totals_elsewhere[place] for place, total in zip(turn, now, strict=True)]
        return max(0.0, sum(gains) / len(gains))


def _margins(model: Any, lessons: Lessons) -> dict[int, float]:  # noqa: ANN401 - transformers is untyped
    """Return log p(wanted) - log p(given) of each correction that has both, by its place."""
    pairs = {place: each for place, each in enumerate(lessons.corrections) if each.given is not None}
    wanted = answer_totals(model, [each.wanted for each in pairs.values()])
    given = answer_totals(model, [each.given for each in pairs.values() if each.given is not None])
    return {place: more - less for place, more, less in zip(pairs, wanted, given, strict=True)}


def _side_weights(lessons: Lessons) -> dict[bool, float]:
    """Return what a good and a bad rating weigh so that both sides count alike, however many there are of each."""
    good = sum(1 for lesson in lessons.rated if lesson.is_good)
    bad = len(lessons.rated) - good
    if not good or not bad:
        return {True: 1.0, False: 1.0}
    return {True: len(lessons.rated) / (2 * good), False: len(lessons.rated) / (2 * bad)}


def _rotation(items: Sequence[_T], step: int, count: int) -> list[_T]:
    """Return the `count` of `items` whose turn it is at `step`, all of them where there are no more."""
    if len(items) <= count:
        return list(items)
    first = step * count
    return [items[(first + offset) % len(items)] for offset in range(count)]
