"""Who is answered next when more ask than can be answered at once: each client in turn.

A pupil who asks ten things at once waits behind those who asked one: clients are served round robin, and each client's
own requests in the order in which they came.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")


class FairQueue(Generic[Waiting]):
    """The requests that wait; for one thread at a time."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._rows: OrderedDict[str, deque[Waiting]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many wait."""
        return sum(map(len, self._rows.values()))

    def waiting_of(self, client: str) -> int:
        """Return how many requests of `client` wait."""
        return len(self._rows.get(client, ()))

    def push(self, client: str, waiting: Waiting) -> None:
        """Put a request of `client` behind its own others."""
        self._rows.setdefault(client, deque()).append(waiting)

    def pop(self) -> Waiting:
        """Take out the request that is next; somebody must wait."""
        client, row = next(iter(self._rows.items()))
        waiting = row.popleft()
        # A client that was just served goes behind the others, also with its next request.
        if row:
            self._rows.move_to_end(client)
        else:
            del self._rows[client]
        return waiting

    def remove(self, waiting: Waiting) -> bool:
        """Take out a request wherever it stands; return whether it waited."""
        for client, row in self._rows.items():
            if waiting in row:
                row.remove(waiting)
                if not row:
                    del self._rows[client]
                return True
        return False

    def in_order(self) -> list[Waiting]:
        """Return all that wait, next first."""
        rows = [list(row) for row in self._rows.values()]
        return [row[n] for n in range(max(map(len, rows), default=0)) for row in rows if n < len(row)]
