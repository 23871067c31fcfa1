"""What a school's timeline says of releases: when one was offered, and what became of it there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.urls import reverse
from django.utils.translation import gettext

from central.releases.models import bulky
from central.rollouts.models import Assignment
from central.schools.models import School
from central.schools.pc_words import pc_code_words
from central.schools.timeline import EntryKind, TimelineEntry


def installs_of(school: School, most: int) -> Iterable[TimelineEntry]:
    """Return for each part of the school's PCs in a rollout when it was offered and how it stands."""
    parts = Assignment.objects.filter(node__school=school).select_related("rollout__release", "wave")
    for part in parts.defer(*bulky("rollout__release"))[:most]:
        yield from _entries(part)


def _entries(part: Assignment) -> Iterator[TimelineEntry]:
    place = reverse("admin:rollouts_rollout_change", args=[part.rollout_id])
    named = {"rollout": part.rollout, "wave": part.wave.number}
    if part.offered_at is not None:
        words = gettext("%(rollout)s was offered, wave %(wave)s") % named
        yield TimelineEntry(at=part.offered_at, kind=EntryKind.INSTALL, words=words, place=place)
    stands = gettext("%(rollout)s: %(status)s") % {**named, "status": part.get_status_display()}
    why = pc_code_words(part.error_code)
    at = part.ended_at or part.reported_at or part.created_at
    yield TimelineEntry(at=at, kind=EntryKind.INSTALL, words=f"{stands} ({why})" if why else stands, place=place)
