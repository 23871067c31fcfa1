"""Who may use the engine next: one at a time, and each client in turn.

A pupil who asks ten things at once waits behind those who asked one: clients are served round robin, and each
client's own requests in the order in which they came.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator


class Turnstile:
    """Lets one holder through at a time; safe for any number of threads."""

    def __init__(self) -> None:
        """Nobody holds it and nobody waits."""
        self._changed = threading.Condition()
        self._queues: OrderedDict[str, deque[object]] = OrderedDict()
        self._holder: object | None = None

    @contextlib.contextmanager
    def turn(
        self,
        client: str,
        *,
        on_place: Callable[[int], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[bool]:
        """Hold the turn of `client` inside the block; yields False, without the turn, when it was cancelled waiting.

        `on_place` hears each new place in the queue (0 is served next); what it raises ends the waiting.
        """
        ticket = object()
        try:
            yield self._wait(client, ticket, on_place or _ignore_place, is_cancelled or _never)
        finally:
            self._leave(client, ticket)

    def waiting(self) -> int:
        """Return how many wait."""
        with self._changed:
            return len(self._order())

    def _wait(
        self, client: str, ticket: object, on_place: Callable[[int], None], is_cancelled: Callable[[], bool]
    ) -> bool:
        told: int | None = None
        with self._changed:
            self._queues.setdefault(client, deque()).append(ticket)
        while True:
            with self._changed:
                order = self._order()
                if self._holder is None and order[0] is ticket:
                    self._take(client, ticket)
                    return True
                place = order.index(ticket)
            if is_cancelled():
                return False
            # Told outside the lock: it writes to a socket, and a slow reader must not hold up the others.
            if place != told:
                on_place(place)
                told = place
            with self._changed:
                self._changed.wait(timeout=0.2)

    def _order(self) -> list[object]:
        rows = [list(queue) for queue in self._queues.values()]
        return [row[n] for n in range(max(map(len, rows), default=0)) for row in rows if n < len(row)]

    def _take(self, client: str, ticket: object) -> None:
        self._holder = ticket
        self._queues[client].popleft()
        # A client that was just served goes behind the others, also with its next request.
        if self._queues[client]:
            self._queues.move_to_end(client)
        else:
            del self._queues[client]

    def _leave(self, client: str, ticket: object) -> None:
        with self._changed:
            if self._holder is ticket:
                self._holder = None
            elif ticket in self._queues.get(client, ()):
                self._queues[client].remove(ticket)
                if not self._queues[client]:
                    del self._queues[client]
            self._changed.notify_all()


def _ignore_place(_place: int) -> None:
    return None


def _never() -> bool:
    return False
