"""Listens to nodes whose status changed, so that the SuperLink hears of it at once and not at the next sweep."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from central.schools.models import Node, NodeStatus
from central.schools.signals import node_status_changed
from central.training.leases import leases_end
from central.training.tasks import fleet_sweep


@receiver(node_status_changed)
def node_fleet_follow(node: Node, **_signal: Any) -> None:  # noqa: ANN401 - Django's signals name no types
    """End the lease of a node that is shut out, and ask for a sweep now; the periodic one does the same later."""
    if node.status != NodeStatus.ACTIVE:
        leases_end(node=node)
    fleet_sweep.delay()
