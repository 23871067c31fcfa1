"""The share of good ratings, with an interval that knows that ratings of one school resemble each other. Pure.

4 and 5 stars are good, 1 and 2 are bad, 3 says nothing (as in training). A school's ratings weigh no more than 20, and
the design effect of the schools' own shares makes the sample smaller before the interval is drawn. One school with
hundreds of ratings can therefore not speak for a country.

Source: Wilson 1927 (the score interval); Rao and Scott 1992 (the effective sample size of clustered binary data).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_GOOD, MOST_BAD = 4, 2
"""From how many stars a rating is good, and up to how many it is bad."""
Z_95 = 1.959963984540054
Z_99 = 2.5758293035489004
MOST_OF_ONE_SCHOOL = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolRatings:
    """How many good ones there are among one school's ratings that say good or bad."""

    good: float
    total: float

    def weighed(self) -> SchoolRatings:
        """Return the same share out of as many ratings as one school may count for."""
        weight = min(1.0, MOST_OF_ONE_SCHOOL / self.total) if self.total else 1.0
        return SchoolRatings(good=self.good * weight, total=self.total * weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of good ratings with its interval, and out of how many that count."""

    share: float
    low: float
    high: float
    total: float


def wilson(good: float, total: float, *, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval for the share `good`/`total`; all of 0 to 1 where there is nothing."""
    if total <= 0:
        return 0.0, 1.0
    share = good / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def share_of(schools: Sequence[SchoolRatings], *, z: float = Z_95) -> Share:
    """Return the share of good ratings of all `schools`, its interval widened by how much schools differ."""
    weighed = [each.weighed() for each in schools]
    good, total = sum(each.good for each in weighed), sum(each.total for each in weighed)
    effective = total / design_effect(weighed)
    share = good / total if total else 0.0
    low, high = wilson(share * effective, effective, z=z)
    return Share(share=share, low=low, high=high, total=total)


def design_effect(schools: Sequence[SchoolRatings]) -> float:
    """Return by which factor the schools' likeness within makes the sample worth less; never under 1."""
    rated = [each for each in schools if each.total]
    good, total, groups = sum(each.good for each in rated), sum(each.total for each in rated), len(rated)
    if groups == 1:
        # Of one school nothing can be learnt about schools: its ratings count as one.
        return float(total)
    if good in (0, total):
        return 1.0
    share = good / total
    spread = sum((each.good - share * each.total) ** 2 for each in rated) * groups / (groups - 1)
    return max(1.0, spread / (total * share * (1 - share)))
