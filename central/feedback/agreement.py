"""How far raters agree: Krippendorff's α for an ordinal scale. Pure.

1 is perfect agreement, 0 what chance would give, and below 0 they contradict each other by more than chance. Only units
with two or more ratings say anything; ranks are compared by how many ratings lie between them, so that 1 and 2 stars
are as near as teachers use them.

Source: Krippendorff 2011, «Computing Krippendorff's Alpha-Reliability», sections C to E.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations

KEY_DIGITS = 32


def turn_key_of(*, question: str, answer: str) -> str:
    """Return 32 hexadecimal digits that are equal for equal questions with equal answers."""
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:KEY_DIGITS]


def ordinal_alpha(units: Iterable[Sequence[int]]) -> float | None:
    """Return α of `units`, each the ratings that one thing got, one a rater.

    None where nothing can be said: no unit has two ratings, or all ratings are one and the same.
    """
    pairs: defaultdict[tuple[int, int], float] = defaultdict(float)
    for unit in units:
        for pair in permutations(unit, 2):
            # A unit's pairs weigh together as much as it has ratings.
            pairs[pair] += 1 / (len(unit) - 1)
    totals: defaultdict[int, float] = defaultdict(float)
    for (value, _other), weight in pairs.items():
        totals[value] += weight
    return _alpha(pairs, totals)


def _alpha(pairs: Mapping[tuple[int, int], float], totals: Mapping[int, float]) -> float | None:
    everything = sum(totals.values())
    expected = sum(totals[one] * totals[two] * _distance(one, two, totals) for one in totals for two in totals)
    if not expected:
        return None
    observed = sum(weight * _distance(*pair, totals) for pair, weight in pairs.items())
    return 1 - (everything - 1) * observed / expected


def _distance(one: int, two: int, totals: Mapping[int, float]) -> float:
    """Return the squared ordinal difference of two ranks: the ratings between them, their own counted half."""
    low, high = min(one, two), max(one, two)
    between = sum(total for value, total in totals.items() if low <= value <= high)
    return (between - (totals[one] + totals[two]) / 2) ** 2
