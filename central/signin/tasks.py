"""Periodic work on sign-ins."""

from __future__ import annotations

from django.utils import timezone

from central.celery import app
from central.signin.services import failures_expire


@app.task
def signin_sweep() -> None:
    """Forget failed sign-ins that count no more."""
    failures_expire(now=timezone.now())
