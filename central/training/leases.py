"""Leases: only so many SuperNodes may be connected at once; the others are told when to ask again."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from central.schools.models import Node
from central.training.models import Lease, Round, RoundStatus
from federation.wire.rounds import Lease as LeaseDocument

LEASE_LIFE = timedelta(minutes=10)
RETRY_SECONDS = 120


def lease_grant(*, node: Node, round_: Round, cap: int, now: datetime) -> LeaseDocument:
    """Return a lease, granted while fewer than `cap` others are in force and the round collects."""
    with transaction.atomic():
        # One lock for all, so that two askers cannot both take the last place.
        Round.objects.select_for_update().get(pk=round_.pk)
        Lease.objects.filter(expires_at__lte=now).delete()
        others = Lease.objects.exclude(node=node).count()
        is_granted = others < cap and round_.status == RoundStatus.COLLECTING and now < round_.closes_at
        expires_at = now + LEASE_LIFE if is_granted else now
        if is_granted:
            Lease.objects.update_or_create(node=node, defaults={"round": round_, "expires_at": expires_at})
    return LeaseDocument(
        plan_id=round_.plan_id,
        granted=is_granted,
        expires_at=expires_at,
        retry_after_seconds=0 if is_granted else RETRY_SECONDS,
    )


def leases_end(*, node: Node) -> None:
    """Take back what was granted to a node that may no longer connect."""
    Lease.objects.filter(node=node).delete()
