"""Periodic work on credentials."""

from __future__ import annotations

from django.utils import timezone

from central.celery import app
from central.schools.sessions import credentials_expire


@app.task
def credentials_sweep() -> None:
    """Delete expired challenges and tokens."""
    credentials_expire(now=timezone.now())
