"""How long to wait for the next contact: as the centre said, or ever longer, and never in step with other schools."""

from __future__ import annotations

import random

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 900.0
LONGEST_UNLINKED_SECONDS = 20.0
"""A link may be up for minutes a day: looking for it costs nobody anything, and missing it costs the day."""


def wait_seconds(
    *,
    failures: int,
    asked_seconds: float,
    rng: random.Random,
    spread_seconds: float = 0.0,
    longest_seconds: float = LONGEST_SECONDS,
) -> float:
    """Return the pause after `failures` contacts in a row that failed; after a good one it is what the centre asked.

    Never less than the centre asked for. What it asked is lengthened by a part of `spread_seconds`, and the pause
    after a failure spread by a third, so that 4,000 schools that lose the centre together do not return together.
    """
    asked = asked_seconds + rng.uniform(0, spread_seconds)
    if failures == 0:
        return asked
    wanted = min(FIRST_SECONDS * 2.0 ** min(failures - 1, 20), longest_seconds)
    return max(asked, wanted * rng.uniform(2 / 3, 4 / 3))
