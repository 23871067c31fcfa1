"""Periodic counting of ratings."""

from __future__ import annotations

from django.utils import timezone

from central.celery import app
from central.feedback.agreement_count import agreement_count
from central.feedback.trends import weeks_count


@app.task
def ratings_count() -> None:
    """Count the weeks that have changed."""
    weeks_count(now=timezone.now())


@app.task
def agreement_recount() -> None:
    """Count how far teachers agree."""
    agreement_count(now=timezone.now())
