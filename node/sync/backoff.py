"""How long to wait for the next contact: as the centre said, or ever longer, and never in step with other schools."""

from __future__ import annotations

import random

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 900.0


def wait_seconds(*, failures: int, asked_seconds: float, rng: random.Random) -> float:
    """Return the pause after `failures` contacts in a row that failed; after a good one it is what the centre asked.

    Both are spread by a third, so that 4,000 schools that lose the centre together do not return together.
    """
    wanted = asked_seconds if failures == 0 else min(FIRST_SECONDS * 2.0 ** min(failures - 1, 20), LONGEST_SECONDS)
    return wanted * rng.uniform(2 / 3, 4 / 3)
