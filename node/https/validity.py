"""From when to when certificates hold, when they are renewed, and by which clock. Pure.

1. A clock that is behind what is known to be past, or was a day off when it was last compared, signs nothing.
2. A server's certificate is renewed long before its end, for a PC may be off all summer; and when it begins in the
   future of a believable clock, for then it was signed by a clock that ran ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FIRST_PROGRAM = datetime(2024, 1, 1, tzinfo=UTC)
"""No PC ran this program before; clocks whose battery is empty begin years earlier."""
BEGIN_EARLIER = timedelta(days=1)
"""For telephones whose clocks are late."""
SERVER_LIFETIME = timedelta(days=397)
"""Browsers take 398 days; Apple takes 825 from authorities that were added by hand."""
AUTHORITY_LIFETIME = timedelta(days=3650)
RENEW_BEFORE = timedelta(days=90)
MOST_OFF_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockWord:
    """What this PC's clock says, and what is known of it."""

    now: datetime
    floor: datetime
    """It cannot be earlier than this."""
    off_seconds: float
    """How far it was off when it was compared last; positive where it ran ahead, 0 where nobody knows."""

    @property
    def is_believable(self) -> bool:
        """Whether what is signed by it would hold on telephones whose clocks are right."""
        return self.now >= max(self.floor, FIRST_PROGRAM) and abs(self.off_seconds) < MOST_OFF_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """From when to when a certificate holds."""

    begins_at: datetime
    ends_at: datetime


def authority_validity(now: datetime) -> Validity:
    """Return the years of an authority that is made now."""
    begins_at = now - BEGIN_EARLIER
    return Validity(begins_at=begins_at, ends_at=begins_at + AUTHORITY_LIFETIME)


def server_validity(now: datetime, *, authority: Validity) -> Validity:
    """Return the months of a server's certificate that is issued now; they end with the authority's years."""
    begins_at = max(now - BEGIN_EARLIER, authority.begins_at)
    return Validity(begins_at=begins_at, ends_at=min(begins_at + SERVER_LIFETIME, authority.ends_at))


def is_renewal_due(server: Validity, *, now: datetime, authority: Validity) -> bool:
    """Return whether another certificate would serve better, if the clock that says `now` is believed."""
    if now < server.begins_at:
        return True
    return now > server.ends_at - RENEW_BEFORE and server.ends_at < authority.ends_at
