"""Periodic work on credentials and on the audit."""

from __future__ import annotations

from django.utils import timezone

from central.celery import app
from central.schools.audit_chain import audit_link_all, audit_link_new
from central.schools.sessions import credentials_expire


@app.task
def credentials_sweep() -> None:
    """Delete expired challenges and tokens."""
    credentials_expire(now=timezone.now())


@app.task
def audit_sweep() -> None:
    """Chain the audit rows that were written since."""
    audit_link_new()


@app.task
def audit_late_sweep() -> None:
    """Chain audit rows whose transaction took long."""
    audit_link_all()
