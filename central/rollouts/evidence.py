"""Reads what a wave is judged by: where its nodes stand, and how teachers rate the release there."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet
from django.utils import timezone

from central.feedback.models import Rating
from central.rollouts.models import FAILURES, PATH, AssignmentStatus, RolloutKind, Wave, WaveStatus
from central.rollouts.quality import Quality, QualityOutcome, SchoolRatings, quality_judge
from central.rollouts.verdict import WaveCounts
from central.schools.rhythm import Rhythm

CONTACTED = frozenset((*PATH[1:], *FAILURES))
"""Count in a wave's denominator: offered in a contact and neither skipped nor taken back."""
GOOD, BAD = Q(stars__gte=4), Q(stars__lte=2)


def wave_counts(wave: Wave, *, now: datetime) -> WaveCounts:
    """Return where the wave's nodes stand now."""
    today = timezone.localdate(now)
    contacted = committed = failed = silent = awaited = 0
    for status, days, last_at in wave.assignments.values_list("status", "node__contact_days", "node__last_contact_at"):
        rhythm = Rhythm(days=days, last=timezone.localdate(last_at) if last_at else None)
        is_overdue = rhythm.is_overdue(today)
        contacted += status in CONTACTED
        committed += status == AssignmentStatus.COMMITTED
        failed += status in FAILURES
        silent += is_overdue and status in PATH[1:]
        awaited += status == AssignmentStatus.PENDING and rhythm.is_known and not is_overdue
    return WaveCounts(contacted=contacted, committed=committed, failed=failed, silent=silent, awaited=awaited)


def wave_quality(wave: Wave) -> Quality | None:
    """Return how the release is rated in this wave and those before it, against what the same schools ran before.

    None while too few have rated it, and where schools return to an older release. What a person has let pass before
    is not held against the next wave: waves up to the last override are left out.
    """
    rollout = wave.rollout
    rules = rollout.quality_rules()
    if rollout.kind == RolloutKind.ROLLBACK:
        return None
    overridden = rollout.waves.filter(status=WaveStatus.PASSED, verdict_reason="override")
    after = overridden.aggregate(last=Max("number"))["last"] or 0
    judged = Q(node__assignments__rollout=rollout) & Q(
        node__assignments__wave__number__gt=after, node__assignments__wave__number__lte=wave.number
    )
    ratings = Rating.objects.filter(judged, GOOD | BAD, is_deleted=False)
    new = _by_school(ratings.filter(release=rollout.release.digest))
    if sum(each.total for each in new.values()) < max(rules.min_ratings, 1):
        return None
    old = _by_school(ratings.filter(node__school__in=list(new)).filter(_RAN_BEFORE, judged))
    return quality_judge(new=list(new.values()), old=list(old.values()), rules=rules)


_RAN_BEFORE = Q(release=F("node__assignments__previous_release")) & ~Q(release="")


def _by_school(ratings: QuerySet[Rating]) -> dict[int, SchoolRatings]:
    rows = (
        ratings.order_by()
        .values_list("node__school")
        .annotate(good=Count("pk", filter=GOOD, distinct=True), total=Count("pk", distinct=True))
    )
    return {school: SchoolRatings(good=good, total=total) for school, good, total in rows}


def quality_plain(quality: Quality | None) -> dict[str, Any]:
    """Return what the admin shows of the ratings at a verdict; empty where nothing could be said."""
    if quality is None:
        return {}
    return {**asdict(quality), "outcome": quality.outcome.value}


def quality_outcome(quality: Quality | None) -> QualityOutcome:
    """Return what the ratings say."""
    return QualityOutcome.UNKNOWN if quality is None else quality.outcome
