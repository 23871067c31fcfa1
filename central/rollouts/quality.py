"""Judges by teachers' ratings whether a release is worse than the one that schools ran before. Pure.

What the share of good ratings and its interval are, `central.feedback.shares` says. The interval is one of 99%, because
a wave is judged at every tick for weeks: one of 95% would call one good release in six worse in the end.

Source: Newcombe 1998, method 10 (the difference of two proportions out of two Wilson intervals).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from central.feedback.shares import Z_99, SchoolRatings, Share, share_of


class QualityOutcome(enum.Enum):
    """What the ratings say of the new release."""

    UNKNOWN = "unknown"
    AS_GOOD = "as_good"
    WORSE = "worse"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRules:
    """By how much the share may fall, and how many ratings each side needs before anything is said."""

    margin: float
    min_ratings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The outcome; `change` is new minus old, with its interval."""

    outcome: QualityOutcome
    new: Share
    old: Share
    change: float
    low: float
    high: float


def quality_judge(*, new: Sequence[SchoolRatings], old: Sequence[SchoolRatings], rules: QualityRules) -> Quality:
    """Return what the ratings of the `new` release say against those of the `old` one.

    It is worse when the share of good ones has fallen by more than the margin and the interval of the change leaves
    no doubt that it has fallen.
    """
    fresh, before = share_of(new, z=Z_99), share_of(old, z=Z_99)
    change = fresh.share - before.share
    low, high = change_interval(new=fresh, old=before)
    outcome = QualityOutcome.AS_GOOD
    if min(fresh.total, before.total) < max(rules.min_ratings, 1):
        outcome = QualityOutcome.UNKNOWN
    elif change < -rules.margin and high < 0:
        outcome = QualityOutcome.WORSE
    return Quality(outcome=outcome, new=fresh, old=before, change=change, low=low, high=high)


def change_interval(*, new: Share, old: Share) -> tuple[float, float]:
    """Return the interval of `new` minus `old`, as sure as theirs are."""
    change = new.share - old.share
    low = change - math.hypot(new.share - new.low, old.high - old.share)
    high = change + math.hypot(new.high - new.share, old.share - old.low)
    return low, high
