"""How often a school's PC comes into contact, learnt from the days on which it came. Pure.

The history is one number: bit n stands for the n-th day before the last contact's day. It costs a check-in no further
row, and two months of it tell a daily school from a weekly one and from one that a stick reaches once a month.

1. A day with a contact counts once, however many contacts it had, by link or by stick.
2. A school that is away no longer than it has been away before, and half as long again, is as it always is.
3. Of a school that hardly came yet nothing is known: it gets a fortnight.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import date

HISTORY_DAYS = 62
_MASK = (1 << HISTORY_DAYS) - 1
UNKNOWN_PATIENCE_DAYS = 14.0
UNKNOWN_GAP_DAYS = 7.0
FEWEST_GAPS = 3
SHORTEST_PATIENCE_DAYS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """The days with a contact, and the last of them; None before the first."""

    days: int
    last: date | None

    def gaps(self) -> list[int]:
        """Return how many days lay between one day of contact and the next, the newest first."""
        seen = [day for day in range(HISTORY_DAYS) if self.days >> day & 1]
        return [older - newer for newer, older in itertools.pairwise(seen)]

    @property
    def is_known(self) -> bool:
        """Tell whether the PC has come often enough to say how often it comes."""
        return len(self.gaps()) >= FEWEST_GAPS

    def gap_days(self) -> float:
        """Return how many days usually lie between two days of contact."""
        gaps = self.gaps()
        return sum(gaps) / len(gaps) if len(gaps) >= FEWEST_GAPS else UNKNOWN_GAP_DAYS

    def patience_days(self) -> float:
        """Return for how many days the PC may be silent before that is unlike it."""
        gaps = self.gaps()
        if len(gaps) < FEWEST_GAPS:
            return UNKNOWN_PATIENCE_DAYS
        return max(SHORTEST_PATIENCE_DAYS, 1.5 * max(gaps))

    def is_overdue(self, today: date) -> bool:
        """Tell whether the PC has been silent for longer than it ever is; one that never came is not."""
        return self.last is not None and (today - self.last).days > self.patience_days()


def contact_days_record(*, days: int, last: date | None, today: date) -> int:
    """Return the history `days`, whose last contact was on `last`, after a contact on `today`."""
    passed = 0 if last is None else max((today - last).days, 0)
    # A shift by the years that a wrong clock may claim would make a number of megabytes.
    return 1 if passed >= HISTORY_DAYS else (days << passed | 1) & _MASK
