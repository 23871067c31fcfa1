"""Periodic work on rollouts."""

from __future__ import annotations

from django.utils import timezone

from central.celery import app
from central.rollouts.tick import rollouts_advance


@app.task
def rollouts_tick() -> None:
    """Move every rollout as far as the tables allow now."""
    rollouts_advance(now=timezone.now())
