"""Reads what a wave is judged by: where its nodes stand, and how teachers rate the release there."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet
from django.utils import timezone

from central.feedback.models import Rating
from central.feedback.shares import LEAST_GOOD, MOST_BAD, SchoolRatings
from central.rollouts.models import FAILURES, GONE, PATH, AssignmentStatus, RolloutKind, Wave, WaveStatus
from central.rollouts.quality import Quality, QualityOutcome, quality_judge
from central.rollouts.verdict import WaveCounts
from central.schools.rhythm import Rhythm

ENDED = frozenset((AssignmentStatus.COMMITTED, *FAILURES))
OFFERED = frozenset(PATH[1:-1])
"""Count in a wave's denominator from the next contact on: who comes once a week had no occasion to report before."""
GOOD, BAD = Q(stars__gte=LEAST_GOOD), Q(stars__lte=MOST_BAD)


def wave_counts(wave: Wave, *, now: datetime) -> WaveCounts:
    """Return where the wave's nodes stand now."""
    today = timezone.localdate(now)
    nodes = contacted = committed = failed = silent = awaited = fresh = 0
    rows = wave.assignments.values_list("status", "offered_at", "node__contact_days", "node__last_contact_at")
    for status, offered_at, days, last_at in rows:
        rhythm = Rhythm(days=days, last=timezone.localdate(last_at) if last_at else None)
        is_overdue = rhythm.is_overdue(today)
        is_offered = status in OFFERED
        has_come = offered_at is not None and last_at is not None and last_at > offered_at
        # Who should have come again by now counts: a PC that the release has taken down never reports it.
        is_fresh = is_offered and not has_come and not is_overdue
        nodes += status not in GONE
        contacted += status in ENDED or (is_offered and not is_fresh)
        committed += status == AssignmentStatus.COMMITTED
        failed += status in FAILURES
        silent += is_overdue and status in PATH[1:]
        fresh += is_fresh
        awaited += rhythm.is_known and (is_fresh or (status == AssignmentStatus.PENDING and not is_overdue))
    return WaveCounts(
        nodes=nodes,
        contacted=contacted,
        committed=committed,
        failed=failed,
        silent=silent,
        awaited=awaited,
        fresh=fresh,
    )


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
