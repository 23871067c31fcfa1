"""How long somebody who guessed wrong must wait. Pure: how often, how long ago, and at what kind of door.

Rules, in order: a few mistakes cost nothing; each further one doubles the wait up to a longest; a day without a mistake
forgives all. A pupil's own door becomes slow, so that ten thousand PINs take over a year. A teacher's waits a minute at
most, because a drawn password is out of reach and pupils would lock teachers out for fun; a device too, because a
whole class may sit behind one address.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

FORGIVEN_AFTER_SECONDS = 24 * 3600.0
FIRST_WAIT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How many mistakes are free, and how long the longest wait is."""

    free_failures: int
    longest_seconds: float


class Door(enum.Enum):
    """What is guessed at; the value is the door's patience."""

    PUPIL = Patience(5, 3600.0)
    STAFF = Patience(10, 60.0)
    DEVICE = Patience(20, 60.0)


def wait_seconds(*, door: Door, failures: int, since_seconds: float) -> float:
    """Return how long it still is until the next guess is heard; 0 where it is heard at once."""
    patience: Patience = door.value
    if failures < patience.free_failures or since_seconds >= FORGIVEN_AFTER_SECONDS:
        return 0.0
    # Beyond 2**20 the wait is the longest in any case, and a float has an end.
    doubled = FIRST_WAIT_SECONDS * 2.0 ** min(failures - patience.free_failures, 20)
    return max(0.0, min(doubled, patience.longest_seconds) - since_seconds)
