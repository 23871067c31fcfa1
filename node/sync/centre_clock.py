"""How far this PC's clock is off the centre's, and from whom that may be believed. Pure.

A time that the director has signed as the answer to this very challenge is believed always. Before the node knows the
director, in its first contact, the time that a pinned server tells is believed, for that contact alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

# Flower refuses requests that seem to be made over 5 s in the future or over 305 s ago; a second and more are left for
# the link and for what the measurement cannot know. Source: flwr 1.41.0, SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE.
FASTEST_SECONDS = 4.0
SLOWEST_SECONDS = -290.0
WORTH_A_WARNING_SECONDS = 300.0


class CentreClock:
    """The centre's time by this PC's clock `local`, corrected once it is known how far that is off."""

    def __init__(self, local: Callable[[], datetime]) -> None:
        """Begin uncorrected."""
        self.local = local
        self.skew_seconds = 0.0
        """As measured last, believed or not; positive where this PC is ahead."""
        self._correction = timedelta(0)

    def now(self) -> datetime:
        """Return the centre's time, as far as it may be believed."""
        return self.local() - self._correction

    def measure(self, *, asked_at: datetime, heard_at: datetime, server_time: datetime, is_believed: bool) -> None:
        """Take in that the centre said `server_time` somewhere between `asked_at` and `heard_at` of this PC's clock."""
        skew = asked_at + (heard_at - asked_at) / 2 - server_time
        self.skew_seconds = skew.total_seconds()
        if is_believed:
            self._correction = skew

    @property
    def is_right_for_flower(self) -> bool:
        """Tell whether the SuperLink would take what a SuperNode on this PC signs."""
        return SLOWEST_SECONDS < self.skew_seconds < FASTEST_SECONDS
