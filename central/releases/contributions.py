"""Which updates of schools are in a release, and what the list says that an adapter brings to schools.

A release keeps the updates that its own round added; those of the adapter that it started from are kept there. One
that was made before there were lists keeps them all: taken together both come to the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from central.releases.models import Release, ReleaseKindChoice
from federation.wire.contributions import Part

LISTED_FOR = timedelta(days=730)
"""A school that was in the dark for so long still learns what became of its updates."""


def contributions_held(release: Release) -> tuple[str, ...]:
    """Return the digests of all updates in `release`, those of the adapters before it first, each once."""
    held: list[str] = []
    step: Release | None = release
    lists = Release.objects.only("contributions", "card")
    while step is not None:
        held = [*step.contributions, *held]
        step = lists.filter(digest=start).first() if (start := start_of(step)) else None
    return tuple(dict.fromkeys(held))


def start_of(release: Release) -> str:
    """Return the digest of the adapter that `release` started from; empty where that was the base alone."""
    return str(release.card.get("start", ""))


def parts_shipped(*, now: datetime) -> tuple[Part, ...]:
    """Return what each adapter in force brought first, whatever its season, oldest first, for some years."""
    shipped = Release.objects.in_force().filter(kind=ReleaseKindChoice.ADAPTER, published_at__gt=now - LISTED_FOR)
    parts: list[Part] = []
    seen: set[str] = set()
    for version, contributions in shipped.order_by("version").values_list("version", "contributions"):
        parts.append(Part(version=version, updates=tuple(each for each in contributions if each not in seen)))
        seen.update(contributions)
    return tuple(parts)
