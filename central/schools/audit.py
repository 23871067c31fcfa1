"""Writes the audit trail; nothing else does, and nothing ever changes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from central.schools.models_audit import AuditEvent


def audit_record(*, actor: str, entity: str, old: str, new: str, reason: str, now: datetime) -> None:
    """Append one row that says who moved what from where to where, and why."""
    AuditEvent.objects.create(actor=actor, entity=entity, old=old, new=new, reason=reason, at=now)


def audit_record_all(
    *, actor: str, entities: Sequence[str], new: str, reason: str, now: datetime, old: str = ""
) -> None:
    """Append one row for each of `entities`, to which the same has happened."""
    rows = [AuditEvent(actor=actor, entity=each, old=old, new=new, reason=reason, at=now) for each in entities]
    AuditEvent.objects.bulk_create(rows, batch_size=500)
