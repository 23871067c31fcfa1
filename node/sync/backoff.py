"""How long to wait for the next contact: as the centre said, or ever longer, and never in step with other schools."""

from __future__ import annotations

import random

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 900.0
LONGEST_UNLINKED_SECONDS = 20.0
"""A link may be up for minutes a day: looking for it costs nobody anything, and missing it costs the day."""


def wait_seconds(
    *, failures: int, asked_seconds: float, rng: random.Random, longest_seconds: float = LONGEST_SECONDS
) -> float:
    """Return the pause after `failures` contacts in a row that failed; after a good one it is what the centre asked.

    Both are spread by a third, so that 4,000 schools that lose the centre together do not return together.
    """
    wanted = asked_seconds if failures == 0 else min(FIRST_SECONDS * 2.0 ** min(failures - 1, 20), longest_seconds)
    return wanted * rng.uniform(2 / 3, 4 / 3)
