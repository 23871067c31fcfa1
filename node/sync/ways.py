"""By which way an update goes up: Flower first, HTTPS where Flower cannot or did not; pure.

An update that has waited for a stick goes on waiting for nothing: every way brings the same bytes into one inbox.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

LARGE_BYTES = 4 * 1024 * 1024
"""More than a slow link carries within one lease, of which the centre has a hundred for all schools."""
TRIES = 3


class Way(StrEnum):
    """How an update travels over a link."""

    FLOWER = "flower"
    HTTPS = "https"


class Word(StrEnum):
    """What a contact's step of handing in came to."""

    NOTHING = "nothing to hand in"
    NO_LEASE = "no lease"
    RECEIVED = "received"
    LEASE_OVER = "lease_over"
    TRY_LATER = "try_later"
    FAILED = "failed"
    UPLOADED = "uploaded"
    JUDGED = "uploaded, receipt to come"


IN_VAIN = frozenset({Word.NO_LEASE, Word.LEASE_OVER, Word.TRY_LATER, Word.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What decides about the way."""

    size_bytes: int
    has_superlink: bool
    """The centre has one, and said so at enrolment."""
    has_flower: bool
    """It is installed on this PC."""
    is_clock_right: bool
    """As far as Flower is concerned, which refuses what is signed 5 s ahead or 5 minutes behind."""
    tries: int
    """By Flower, one after another and the last of all, without the update having arrived."""


def way_choose(given: Circumstances) -> Way:
    """Return the way to take now."""
    can_flower = given.has_superlink and given.has_flower and given.is_clock_right
    is_worth_it = given.size_bytes <= LARGE_BYTES and given.tries < TRIES
    return Way.FLOWER if can_flower and is_worth_it else Way.HTTPS


def tries_in_vain(newest_first: Iterable[str]) -> int:
    """Return how many of the newest steps of handing in ended in vain by Flower, one after another.

    `newest_first` are their words. One that broke off with an error says nothing of Flower, and is passed over.
    """
    tries = 0
    for word in newest_first:
        if word in IN_VAIN:
            tries += 1
        elif word in frozenset(Word):
            break
    return tries
