"""From which day on things are kept."""

from __future__ import annotations

from datetime import datetime

MONTHS_A_YEAR = 12
_IN_EVERY_MONTH = 28
"""A day that every month has: of the last ones of a long month a few days more are kept."""


def kept_since(now: datetime, *, months: int) -> datetime:
    """Return the first moment of the day `months` months before `now`.

    Of a whole day, so that what becomes due does so once a day.
    """
    counted = now.year * MONTHS_A_YEAR + now.month - 1 - months
    day = min(now.day, _IN_EVERY_MONTH)
    year, month = counted // MONTHS_A_YEAR, counted % MONTHS_A_YEAR + 1
    return now.replace(year=year, month=month, day=day, hour=0, minute=0, second=0, microsecond=0)
