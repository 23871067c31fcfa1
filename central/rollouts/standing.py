"""Where the PCs of a wave stand, in the order of its bar; every status of a part is under one of the five."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from central.rollouts.models import FAILURES, GONE, ON_THE_WAY, AssignmentStatus

STANDINGS: Mapping[str, tuple[str | Promise, tuple[str, ...]]] = {
    "committed": (_("run the release"), (AssignmentStatus.COMMITTED,)),
    "on_the_way": (_("on the way"), ON_THE_WAY[1:]),
    "failed": (_("failed"), FAILURES),
    "pending": (_("not in contact yet"), (AssignmentStatus.PENDING,)),
    "others": (_("left out or called off"), (AssignmentStatus.SKIPPED, *GONE)),
}


def standing_numbers(by_status: Mapping[str, int]) -> dict[str, int]:
    """Return how many PCs stand where, of how many have which status."""
    return {
        name: sum(by_status.get(status, 0) for status in statuses) for name, (_words, statuses) in STANDINGS.items()
    }
