"""Leases: only so many SuperNodes may be connected to a SuperLink at once; the others are told when to ask again."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from central.schools.models import Node
from central.superlinks import superlink_of
from central.training.models import Lease, Plan, Round, RoundStatus, Season, SeasonStatus
from federation.wire.rounds import Lease as LeaseDocument

LEASE_LIFE = timedelta(minutes=10)
RETRY_SECONDS = 120


def lease_grant(*, node: Node, plan: Plan, cap: int, now: datetime) -> LeaseDocument:
    """Return a lease for the round of the plan's season, granted while fewer than `cap` others are in force.

    They are counted for each SuperLink. A season that is closed grants none. A node has one lease at most, and one that
    has run out stays until the node asks again: it counts for nothing, and nobody has to sweep.
    """
    superlink = superlink_of(node.school.region).name
    with transaction.atomic():
        # One lock for all, so that two askers cannot both take the last place.
        opened = Season.objects.select_for_update().filter(status=SeasonStatus.OPEN).order_by("pk")
        is_open = plan.season_id in set(opened.values_list("pk", flat=True))
        others = Lease.objects.exclude(node=node).filter(superlink=superlink, expires_at__gt=now).count()
        collecting = Round.objects.filter(season=plan.season_id, status=RoundStatus.COLLECTING).only("pk")
        round_ = collecting.first() if is_open and others < cap else None
        is_granted, expires_at = round_ is not None, now
        if round_ is not None:
            expires_at = now + LEASE_LIFE
            lease = Lease(node=node, round=round_, superlink=superlink, expires_at=expires_at)
            terms = ["round", "superlink", "expires_at"]
            Lease.objects.bulk_create([lease], update_conflicts=True, unique_fields=["node"], update_fields=terms)
    return LeaseDocument(
        plan_id=plan.plan_id,
        granted=is_granted,
        expires_at=expires_at,
        retry_after_seconds=0 if is_granted else RETRY_SECONDS,
    )


def lease_withdraw(*, node: Node) -> None:
    """Take the node's lease back, so that another school gets its place."""
    Lease.objects.filter(node=node).delete()
