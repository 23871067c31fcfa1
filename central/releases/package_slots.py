"""The adapter slots of a base release, read from the card that its build has kept."""

from __future__ import annotations

from central.releases.errors import BaseNotReady
from central.releases.models import Release
from federation.basis import SlotSize


def slot_sizes(base: Release) -> dict[str, SlotSize]:
    """Return the size of each slot of `base`, in the card's order.

    Raises:
        BaseNotReady: it has no card with slots, so it is no base.
    """
    slots = base.card.get("slots")
    if not slots:
        raise BaseNotReady(release=base.version, status=base.status)
    return {str(slot["name"]): SlotSize(int(slot["d_in"]), int(slot["d_out"])) for slot in slots}
