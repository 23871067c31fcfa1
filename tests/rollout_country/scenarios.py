"""What is played: how the new release behaves, what happens to the centre, and what must be true at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.rollout_country.schools import GIB, Pc

FIRST_SHARE = 0.05
"""Of the schools in the first wave: what is wrong with a release must have shown there."""
FIRST_AT_LEAST = 20
"""A handful of schools rates too little to say anything."""
PLEASED = 0.8
DISPLEASED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One story."""

    name: str
    title: str
    is_good_at: Callable[[Pc], bool] = lambda _pc: True
    """Whether the new release passes its test at a school."""
    pleased: float = PLEASED
    """Share of ratings of the new release that are good; of the old one it is PLEASED."""
    halts_for: str = ""
    """Why the rollout must pause before its first wave is over; empty: it must reach all schools."""
    kills: float = 0.0
    """Of ticks and check-ins that the centre is killed in."""
    workers: int = 1
    soak_days: int = 2
    """For how long success must last. Ratings need a week: a wave that passes on too few of them is not held up."""


SCENARIOS: Mapping[str, Scenario] = {
    each.name: each
    for each in (
        Scenario(name="good", title="a good release"),
        Scenario(
            name="hardware",
            title="a release that fails on small PCs",
            is_good_at=lambda pc: pc.memory_bytes > 2 * GIB,
            halts_for="error_threshold",
        ),
        Scenario(
            name="ratings",
            title="a release that passes its test and is rated worse",
            pleased=DISPLEASED,
            halts_for="quality",
            soak_days=7,
        ),
        Scenario(name="restarts", title="a good release, and a centre that is killed at random", kills=0.1),
        Scenario(name="workers", title="a good release, and two workers that tick at once", workers=2),
    )
}


def first_wave(schools: int) -> int:
    """Return how many schools are in the first wave."""
    return max(FIRST_AT_LEAST, round(FIRST_SHARE * schools))
