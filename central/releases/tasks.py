"""Work on releases in the background."""

from __future__ import annotations

from django.utils import timezone

from central.celery import app
from central.disk import centre_disk
from central.releases.build import base_build, bases_gate
from central.releases.models import Release, ReleaseStatus
from central.releases.services import builds_interrupted_fail
from federation.trust import tuf_publisher

REFRESH_SECONDS = 20 * 3600


@app.task
def release_build(release_id: int) -> None:
    """Build a draft; a second message for the same draft finds it under way and does nothing."""
    release = Release.objects.get(pk=release_id)
    if release.status == ReleaseStatus.DRAFT:
        base_build(release=release, disk=centre_disk(), actor=release.created_by, clock=timezone.now)


@app.task
def releases_sweep() -> None:
    """Mark builds whose process has ended as failed, and judge bases that a cut has left at the gate."""
    builds_interrupted_fail(now=timezone.now())
    bases_gate(now=timezone.now())


@app.task
def timestamp_refresh() -> None:
    """Re-sign the TUF timestamp once a day; before the keys are made there is nothing to sign."""
    disk = centre_disk()
    metadata = disk.tuf / "metadata" / "timestamp.json"
    now = timezone.now()
    if metadata.exists() and now.timestamp() - metadata.stat().st_mtime > REFRESH_SECONDS:
        tuf_publisher.timestamp_refresh(root=disk.tuf, keys=disk.keys, now=now)
