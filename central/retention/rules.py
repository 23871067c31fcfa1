"""What is forgotten, and when; what is in no rule here is kept for ever (decision 0125 says of each table why)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session

from central.batches import rows_delete
from central.disk import CentreDisk
from central.feedback.forgetting import parcels_due, parcels_forget
from central.retention.cutoff import kept_since
from central.training.forgetting import files_due, files_forget

ADMIN_LOG_MONTHS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of thing that is forgotten."""

    name: str
    """The model's label, by which the audit knows it."""
    words: str
    months: int
    """For how long it is kept; 0: until it has ended by itself."""
    due: Callable[[datetime], int]
    """Counts what may go by now, of what is older than a moment."""
    forget: Callable[[datetime, int], int]
    """Lets so many at most of that go, or a batch more, and returns how many went."""

    def kept_since(self, now: datetime) -> datetime:
        """Return the moment before which things of the kind may go."""
        return kept_since(now, months=self.months) if self.months else now


def rules(disk: CentreDisk) -> tuple[Rule, ...]:
    """Return all rules, in the order in which they are kept."""
    return (
        Rule(
            name="feedback.receivedparcel",
            words="accepted parcels below the acknowledged number; their ratings stay",
            months=settings.PARCEL_MONTHS,
            due=lambda before: parcels_due(before=before).count(),
            forget=lambda before, most: parcels_forget(before=before, most=most),
        ),
        Rule(
            name="training.update",
            words="files of updates in completed rounds; their rows stay",
            months=settings.UPDATE_MONTHS,
            due=lambda before: files_due(disk=disk, before=before),
            forget=lambda before, most: files_forget(disk=disk, before=before, most=most),
        ),
        Rule(
            name="admin.logentry",
            words="Django's own list of deeds; the audit stays",
            months=ADMIN_LOG_MONTHS,
            due=lambda before: LogEntry.objects.filter(action_time__lt=before).count(),
            forget=lambda before, most: rows_delete(LogEntry.objects.filter(action_time__lt=before), most=most),
        ),
        Rule(
            name="sessions.session",
            words="people's sessions that have ended",
            months=0,
            due=lambda now: Session.objects.filter(expire_date__lt=now).count(),
            forget=lambda now, most: rows_delete(Session.objects.filter(expire_date__lt=now), most=most),
        ),
    )
