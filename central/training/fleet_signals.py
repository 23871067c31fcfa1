"""Listens to nodes whose status changed, so that the SuperLink hears of it at once and not at the next sweep."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from central.schools.signals import node_status_changed
from central.training.tasks import fleet_sweep


@receiver(node_status_changed)
def node_fleet_follow(**_signal: Any) -> None:  # noqa: ANN401 - Django's signals name no types
    """Ask for a sweep now; should the broker be away, the periodic one does the same."""
    fleet_sweep.delay()
