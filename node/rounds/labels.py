"""Which of the school's ratings are learnt from, as what, and which are held out. Pure; knows no table.

Rules, in order: a correction is learnt whatever its stars; without one 4 and 5 stars are good, 1 and 2 bad, 3 say
nothing; good and bad count only where the plan's objective uses them; the newest come first, and of what is learnt no
more than the plan takes. Once there are enough corrections, those of about one question in `HELD_OUT_OF` are held out:
which questions is a matter of the school's secret and the question alone, so that none changes sides, and one that was
ever learnt is never held out. Nothing else to a held-out question is learnt either.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from federation.wire.labels import LabelKind, TeacherLabel
from federation.wire.rounds import RoundPlan
from node.ratings.masking import PersonalKind
from node.ratings.stars import BAD_STARS, GOOD_STARS

HELD_OUT_OF = 5
LEAST_CORRECTIONS = 10
"""With fewer corrections in force all are learnt, and the school has no score of its own."""


class Rated(Protocol):
    """A rating in force, as far as learning looks at it."""

    record_id: str
    question: str
    answer_text: str
    correction: str
    stars: int


@dataclass(frozen=True, slots=True)
class OwnLabel:
    """A label and the rating that it came from."""

    record_id: str
    label: TeacherLabel


def labels_choose(
    ratings: Sequence[Rated], *, plan: RoundPlan, secret: str, learnt: Collection[str]
) -> tuple[OwnLabel, ...]:
    """Return the labels of `ratings`, which come newest first; `learnt` names those that were ever learnt from."""
    known = {_question_key(rating.question) for rating in ratings if rating.record_id in learnt}
    is_enough = sum(1 for rating in ratings if rating.correction) >= LEAST_CORRECTIONS
    chosen: list[OwnLabel] = []
    counts = {True: 0, False: 0}
    for rating in ratings:
        kind = label_kind(rating, plan=plan)
        key = _question_key(rating.question)
        is_held_out = is_enough and key not in known and _is_drawn(secret, key)
        if kind is None or (is_held_out and kind is not LabelKind.CORRECTION) or counts[is_held_out] >= plan.max_labels:
            continue
        counts[is_held_out] += 1
        chosen.append(OwnLabel(rating.record_id, _label(rating, kind, is_held_out=is_held_out)))
    return tuple(chosen)


def label_kind(rating: Rated, *, plan: RoundPlan) -> LabelKind | None:
    """Return what the rating teaches under the plan, or None where that is nothing."""
    if PersonalKind.BOOK.value in (rating.correction or rating.answer_text):
        # A text of which a piece was left out would teach the hole.
        return None
    if rating.correction:
        return LabelKind.CORRECTION
    if plan.objective.ratings <= 0 or BAD_STARS < rating.stars < GOOD_STARS:
        return None
    return LabelKind.GOOD if rating.stars >= GOOD_STARS else LabelKind.BAD


def _label(rating: Rated, kind: LabelKind, *, is_held_out: bool) -> TeacherLabel:
    return TeacherLabel(
        kind=kind,
        prompt=rating.question,
        answer=rating.answer_text,
        correction=rating.correction,
        is_held_out=is_held_out,
    )


def _question_key(question: str) -> str:
    return " ".join(question.casefold().split())


def _is_drawn(secret: str, key: str) -> bool:
    # The school's own secret, so that no question is held out at every school.
    digest = hmac.digest(secret.encode(), f"held out:{key}".encode(), hashlib.sha256)
    return int.from_bytes(digest[:8], "big") % HELD_OUT_OF == 0
