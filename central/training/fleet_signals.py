"""Listens to nodes whose status changed, so that the SuperLink hears of it at once and not at the next sweep."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from central.schools.models import Node, NodeStatus
from central.schools.signals import node_status_changed
from central.training.leases import lease_withdraw
from central.training.tasks import fleet_sweep


@receiver(node_status_changed)
def node_fleet_follow(*, node: Node, **_signal: Any) -> None:  # noqa: ANN401 - Django's signals name no types
    """Take the lease of a node that may not sync, and ask for a sweep now; without a broker the periodic one comes."""
    if node.status != NodeStatus.ACTIVE:
        lease_withdraw(node=node)
    fleet_sweep.delay()
