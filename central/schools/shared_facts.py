"""Keeps what all schools share in memory, for as long as the tables that it comes from stay the same.

A check-in asks which rollouts and seasons there are, and finds what the thousands before it found. Read once a change,
that costs one look at `FactsVersion` in the place of a dozen queries (decision 0095).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import connection

from central.reports import primary_read
from central.schools.models_facts import FactsVersion

FactsT = TypeVar("FactsT")
_NUMBER = f'SELECT number FROM "{FactsVersion._meta.db_table}"'  # nosec B608 # noqa: S608, SLF001 - Django's own name


class SharedFacts(Generic[FactsT]):
    """What `read` returns from tables of `SharedFact`; it is never changed, because all threads have the same."""

    def __init__(self, read: Callable[[], FactsT]) -> None:
        self._read = read
        self._held: tuple[int, FactsT] | None = None

    def now(self) -> FactsT:
        """Return what the tables say now.

        Not for whoever has changed them in a transaction that is still open: PostgreSQL draws the number at its end.
        """
        return self.at(facts_number())

    def at(self, number: int | None) -> FactsT:
        """Return what the tables say, for one who has just looked at `facts_number` and found `number`.

        What is committed meanwhile may be read as well, and is then read once more.
        """
        held = self._held
        if held is None or number is None or held[0] != number:
            # Check-ins decide by it, whoever asked for it first.
            held = (number or 0, primary_read(self._read))
            self._held = held if number is not None else None
        return held[1]


def facts_number() -> int | None:
    """Return the present number; None where the row is missing: nothing may be kept then."""
    with connection.cursor() as cursor:
        cursor.execute(_NUMBER)
        row = cursor.fetchone()
    return None if row is None else int(row[0])
