"""What a play that takes an hour says meanwhile on the standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class Progress:
    """Says how far a play has come, what a day takes, and how long the rest will take at the pace of late."""

    def __init__(
        self, *, schools: int, days: float, done: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._schools, self._days, self._done, self._clock = schools, days, done, clock
        self._began = self._last = clock()
        self._pace = 0.0

    def days_over(self, done: float) -> None:
        """Tell that so many days are over, if another one is."""
        if int(done) <= int(self._done):
            return
        now = self._clock()
        pace = (now - self._last) / (done - self._done)
        self._done, self._last = done, now
        # Early days have fewer updates: the newest third of a week counts most.
        self._pace = 0.7 * self._pace + 0.3 * pace if self._pace else pace
        left = self._pace * (self._days - done)
        sys.stderr.write(
            f"{self._schools} schools: day {int(done)} of {self._days:g}, {pace:.1f} s a day, "
            f"{now - self._began:.0f} s so far, some {left:.0f} s left\n"
        )
