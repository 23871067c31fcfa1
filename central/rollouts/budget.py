"""Reads how many schools have failed in a rollout, and how many may."""

from __future__ import annotations

from django.db.models import Sum

from central.rollouts.models import Rollout, WaveStatus


def failures_counted(rollout: Rollout) -> int:
    """Return how many nodes of all its waves have failed."""
    return rollout.assignments.failed().count()


def failures_allowed(rollout: Rollout) -> int:
    """Return how many may fail before the rollout halts, whichever wave they are in."""
    if rollout.failure_budget is not None:
        return rollout.failure_budget
    opened = rollout.waves.exclude(status=WaveStatus.PENDING)
    return int(opened.aggregate(allowed=Sum("failures_allowed"))["allowed"] or 0)
