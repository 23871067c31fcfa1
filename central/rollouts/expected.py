"""In how many days a school will have a release, by its bytes, its past fetches and its rhythm of contacts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

USUAL_BYTES_A_DAY = 29_000_000
"""What 256 kbit/s bring in 15 minutes of contact (measured); taken of a school that never fetched much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFetch:
    """An earlier release: its bytes, and the days from the offer to its end."""

    size_bytes: int
    days: float


def bytes_a_contact_day(past: Sequence[PastFetch], *, gap_days: float) -> float:
    """Return how much comes on one day of contact, when there is one every `gap_days`.

    A fetch that was over at its first contact only says that no less comes; it never lowers the estimate.
    """
    slow = [each for each in past if each.size_bytes > 0 and each.days > gap_days]
    if slow:
        days_of_contact = sum(max(1.0, each.days / gap_days) for each in slow)
        return max(1.0, sum(each.size_bytes for each in slow) / days_of_contact)
    return float(max([USUAL_BYTES_A_DAY, *(each.size_bytes for each in past)]))


def expected_days(*, size_bytes: int, past: Sequence[PastFetch], gap_days: float) -> float:
    """Return in how many days the school will have fetched and reported; at least one more contact is needed."""
    contacts = math.ceil(size_bytes / bytes_a_contact_day(past, gap_days=gap_days))
    return max(contacts, 1) * gap_days
