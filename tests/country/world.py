"""The virtual clock of the country: what happens when, and how the ServerApp's loop waits in it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta

from tests.country.rhythms import DAY
from tests.simulated_grid import HEARTBEAT_SECONDS, SimulatedGrid

UNASKED_SECONDS = HEARTBEAT_SECONDS


class World:
    """Events in the order of their time; the grid's clock is the only one."""

    def __init__(self, grid: SimulatedGrid, *, began_at: datetime, until: float) -> None:
        self.grid = grid
        self.began_at = began_at
        self.until = until
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    @property
    def now(self) -> float:
        return self.grid.now

    @property
    def days(self) -> float:
        """How many days have passed."""
        return self.now / DAY

    @property
    def is_over(self) -> bool:
        return self.now >= self.until

    def moment(self) -> datetime:
        """Return the time as the centre's tables know it."""
        return self.began_at + timedelta(seconds=self.now)

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        """Let `call` happen at a time, which may not lie in the past; no lambda, because a play is kept (`kept`)."""
        self._number += 1
        heapq.heappush(self._events, (max(seconds, self.now), self._number, call))

    def sleep(self, seconds: float) -> None:
        """Let time pass: what is due happens in its turn.

        While nobody is connected, until the next thing happens, and while nobody is asked anything for up to
        `UNASKED_SECONDS`: the loop has no other reason to look than that somebody comes, or may be asked again.
        """
        until = self.now + seconds
        coming = min(self._events[0][0] if self._events else self.until, self.until)
        if self.grid.is_quiet():
            until = max(until, coming)
        elif self.grid.is_unasked():
            until = max(until, min(coming, self.now + UNASKED_SECONDS))
        while self._events and self._events[0][0] <= until:
            due, _, call = heapq.heappop(self._events)
            self.grid.advance(max(due - self.now, 0.0))
            call()
        self.grid.advance(max(until - self.now, 0.0))
