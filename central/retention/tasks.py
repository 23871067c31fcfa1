"""Periodic forgetting."""

from __future__ import annotations

from django.utils import timezone

from central.celery import app
from central.disk import centre_disk
from central.retention.services import ACTOR, retention_keep


@app.task
def retention_sweep() -> None:
    """Let go what the centre needs no more."""
    retention_keep(disk=centre_disk(), actor=ACTOR, now=timezone.now())
