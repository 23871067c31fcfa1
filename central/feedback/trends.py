"""Counts ratings by week, so that pages need not: the only writer of `RatingWeek` and `RatingTrend`.

The rules, in order:
1. A week begins on Monday by the centre's clock, and a rating belongs to the week in which its newest revision came.
2. A week is counted again while it is open, once more after it has ended, and whenever a rating leaves it.
3. Counting is idempotent: two workers that count one week do it one after the other, with the same outcome.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from central.feedback.models import Rating, RatingTrend, RatingWeek, TrendOf
from central.feedback.shares import LEAST_GOOD, MOST_BAD, SchoolRatings, share_of

WEEKS_COUNTED = 13
WEEK = timedelta(days=7)
# A transaction that began before the week's end may bring its ratings a little after it.
STRAGGLE = timedelta(hours=1)


def week_start(at: datetime) -> datetime:
    """Return the local midnight with which the week of `at` began."""
    local = timezone.localtime(at)
    return local.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=local.weekday())


def weeks_mark(*, received: Iterable[datetime]) -> None:
    """Have the weeks counted again in which ratings came that have changed or gone since."""
    starts = {week_start(at) for at in received}
    if starts:
        RatingWeek.objects.filter(starts_at__in=starts, is_due=False).update(is_due=True)


def weeks_count(*, now: datetime) -> int:
    """Leave the newest weeks counted as of `now`; return how many were."""
    newest = week_start(now)
    starts = [week_start(newest - WEEK * age + WEEK / 2) for age in range(WEEKS_COUNTED)]
    RatingWeek.objects.bulk_create([RatingWeek(starts_at=start) for start in starts], ignore_conflicts=True)
    due = RatingWeek.objects.filter(starts_at__in=starts).filter(
        Q(is_due=True) | Q(counted_at=None) | Q(counted_at__lt=F("starts_at") + WEEK + STRAGGLE)
    )
    for week in due:
        _week_count(week, now)
    return len(due)


def _week_count(week: RatingWeek, now: datetime) -> None:
    with transaction.atomic():
        # Takes the row's lock first: whoever changes a rating afterwards marks the week again behind this count.
        RatingWeek.objects.filter(pk=week.pk).update(is_due=False, counted_at=now)
        RatingTrend.objects.filter(week=week).delete()
        RatingTrend.objects.bulk_create(_trends(week, now))


def _trends(week: RatingWeek, now: datetime) -> list[RatingTrend]:
    rows = _counts(week, now)
    return [
        _trend(week, trend_of, value, schools)
        for trend_of, column in _COLUMNS.items()
        for value, schools in _by_value(rows, column).items()
    ]


_COLUMNS: Mapping[TrendOf, str] = {
    TrendOf.ALL: "",
    TrendOf.SUBJECT: "subject",
    TrendOf.GRADE: "grade",
    TrendOf.REGION: "node__school__region",
    TrendOf.RELEASE: "release",
}


def _counts(week: RatingWeek, now: datetime) -> list[dict[str, Any]]:
    ratings = Rating.objects.with_words().filter(
        received_at__gte=week.starts_at, received_at__lt=min(now, week.starts_at + WEEK)
    )
    grouped = ratings.order_by().values("node__school", *filter(None, _COLUMNS.values()))
    good, bad = Count("pk", filter=Q(stars__gte=LEAST_GOOD)), Count("pk", filter=Q(stars__lte=MOST_BAD))
    return list(grouped.annotate(ratings=Count("pk"), good=good, bad=bad))


def _by_value(rows: Iterable[dict[str, Any]], column: str) -> dict[str, dict[int, list[int]]]:
    """Return, for each value of `column`, each school's ratings, good ones and bad ones."""
    found: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    for row in rows:
        counts = found[str(row[column]) if column else ""][row["node__school"]]
        for place, name in enumerate(("ratings", "good", "bad")):
            counts[place] += row[name]
    return found


def _trend(week: RatingWeek, trend_of: TrendOf, value: str, schools: Mapping[int, list[int]]) -> RatingTrend:
    said = [SchoolRatings(good=good, total=good + bad) for _ratings, good, bad in schools.values()]
    share = share_of(said)
    ratings, good, bad = (sum(counts) for counts in zip(*schools.values(), strict=True))
    return RatingTrend(
        week=week,
        trend_of=trend_of,
        value=value,
        ratings=ratings,
        good=good,
        bad=bad,
        schools=len(schools),
        share=share.share,
        low=share.low,
        high=share.high,
    )
