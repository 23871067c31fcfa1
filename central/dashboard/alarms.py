"""All alarms about the centre itself: its trust, and its copies."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from central.backup.alarm import backup_alarms
from central.disk import CentreDisk, centre_disk
from central.releases.metadata_alarm import Alarm, alarms_read


def centre_alarms(*, disk: CentreDisk, now: datetime) -> tuple[Alarm, ...]:
    """Return the alarms in force, the urgent ones first."""
    found = (*alarms_read(disk=disk, now=now), *backup_alarms(place=settings.BACKUP_PLACE, now=now))
    return tuple(sorted(found, key=lambda alarm: not alarm.is_urgent))


def environment_badge(_request: HttpRequest) -> list[str] | None:
    """Return what the admin shows beside its title on every page: how many alarms there are, or nothing.

    In numbers, because a sentence there is wider than a telephone; the dashboard, behind the title, has the sentences.
    """
    alarms = centre_alarms(disk=centre_disk(), now=timezone.now())
    if not alarms:
        return None
    return [_("Alarms: %(number)d") % {"number": len(alarms)}, "danger" if alarms[0].is_urgent else "warning"]
