"""How full the centre's disk is, and what of it are releases and updates."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from django.db.models import Count, Max, Sum
from django.utils.translation import gettext

from central.bars import Segment, bar_segments
from central.dashboard.lists import Figure, Lists, place_of
from central.disk import CentreDisk
from central.releases.models import Release, ReleaseFile
from central.training.models import Update, UpdateStatus

HELD = (UpdateStatus.ACCEPTED, UpdateStatus.QUARANTINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """All that is drawn of storage."""

    total_bytes: int
    free_bytes: int
    segment: Segment
    releases: Figure
    releases_bytes: int
    updates: Figure
    updates_bytes: int


def storage_figures(lists: Lists, *, disk: CentreDisk) -> Storage:
    """Return how full the disk under the centre's root is."""
    space = shutil.disk_usage(disk.root)
    releases = lists.rows(Release).count()
    updates = lists.rows(Update).filter(status__in=HELD).aggregate(number=Count("pk"), size=Sum("size_bytes"))
    return Storage(
        total_bytes=space.total,
        free_bytes=space.free,
        segment=bar_segments([space.total - space.free], whole=space.total)[0],
        releases=Figure(words=gettext("releases"), number=releases, place=place_of(Release)),
        releases_bytes=_blobs_bytes() if releases else 0,
        updates=Figure(
            words=gettext("updates kept"), number=updates["number"], place=place_of(Update, status__in=",".join(HELD))
        ),
        updates_bytes=updates["size"] or 0,
    )


def _blobs_bytes() -> int:
    """Return the bytes of all release files, each content once."""
    blobs = ReleaseFile.objects.order_by().values("sha256").annotate(size=Max("size_bytes"))
    return int(blobs.aggregate(all=Sum("size"))["all"] or 0)
