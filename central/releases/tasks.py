"""Work on releases in the background."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.utils import timezone

from central.celery import app
from central.disk import centre_disk
from central.releases.build import base_build, bases_gate
from central.releases.metadata_alarm import alarms_read
from central.releases.models import Release, ReleaseStatus
from central.releases.services import builds_interrupted_fail, releases_signed_finish
from federation.trust import tuf_publisher
from federation.trust.errors import RepositoryMissing

REFRESH_AFTER = timedelta(hours=20)
LOGGER = logging.getLogger(__name__)


@app.task
def release_build(release_id: int) -> None:
    """Build a draft; a second message for the same draft finds it under way and does nothing."""
    release = Release.objects.get(pk=release_id)
    if release.status == ReleaseStatus.DRAFT:
        base_build(release=release, disk=centre_disk(), actor=release.created_by, clock=timezone.now)


@app.task
def releases_sweep() -> None:
    """Mark builds whose process has ended as failed, judge bases that a cut has left, finish what was signed."""
    builds_interrupted_fail(now=timezone.now())
    bases_gate(now=timezone.now())
    try:
        releases_signed_finish(disk=centre_disk(), now=timezone.now())
    except RepositoryMissing:
        LOGGER.warning("releases wait for a signature and there are no keys yet")


@app.task
def timestamp_refresh() -> None:
    """Re-sign the TUF timestamp once a day, changed or not, and log what expires; without keys there is nothing."""
    disk, now = centre_disk(), timezone.now()
    try:
        if now - tuf_publisher.timestamp_issued_at(root=disk.tuf) > REFRESH_AFTER:
            tuf_publisher.timestamp_refresh(root=disk.tuf, keys=disk.keys, now=now)
    except RepositoryMissing:
        return
    for alarm in alarms_read(disk=disk, now=now):
        LOGGER.error("%s", alarm)
