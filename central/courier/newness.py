"""Whether a check-in that came by stick is newer than the one that the centre heard last: pure, and trusts no clock.

A stick may come after a contact by link that was held after it was written, or twice. Numbers grow within an epoch; an
epoch in which the centre has heard no check-in begins after all that it has heard.
"""

from __future__ import annotations

from collections.abc import Collection

from federation.wire.releases import CheckIn


def is_newer(checkin: CheckIn, *, last_epoch: str, last_number: int, past_epochs: Collection[str]) -> bool:
    """Return whether `checkin` was made after the last one, which had `last_number` in `last_epoch`."""
    if checkin.epoch == last_epoch:
        return checkin.number > last_number
    return checkin.epoch not in past_epochs
