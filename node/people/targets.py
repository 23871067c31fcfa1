"""What somebody who signs in may be guessing at."""

from __future__ import annotations

from node.people.guessing import Target
from node.people.throttle import Door


def device_target(address: str) -> Target:
    """The device behind an address of the school's network."""
    return Target(Door.DEVICE, address)


def pupil_target(pupil_id: int) -> Target:
    """A pupil's PIN."""
    return Target(Door.PUPIL, str(pupil_id))


def staff_target(username: str) -> Target:
    """The password of the account of this name, whether there is one or not."""
    return Target(Door.STAFF, username.casefold())
