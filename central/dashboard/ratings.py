"""How teachers rate, week by week: in all, and by subject, grade, region and release."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

from central.dashboard.charts import Spot, TrendLine, trend_line
from central.dashboard.lists import Figure, Lists, place_of, release_titles
from central.feedback.models import Rating, RatingTrend, RatingWeek, TrendOf
from central.feedback.trends import WEEK, WEEKS_COUNTED

MOST_VALUES = 12
_LOOKUPS: Mapping[TrendOf, str] = {
    TrendOf.SUBJECT: "subject",
    TrendOf.GRADE: "grade",
    TrendOf.REGION: "node__school__region",
    TrendOf.RELEASE: "release",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendRow:
    """One value's newest week in figures, and all its weeks as a line."""

    words: str
    newest: Figure
    week: str
    percent: int
    low: int
    high: int
    schools: int
    line: TrendLine | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendGroup:
    """The rows of one way of counting; `others` is how many values are not shown."""

    words: str
    rows: list[TrendRow]
    others: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """All that is drawn of ratings, as of when."""

    counted_at: datetime | None
    weeks: int
    groups: list[TrendGroup]


def rating_figures(lists: Lists) -> Ratings:
    """Return the trends of the last weeks that were counted."""
    weeks = list(RatingWeek.objects.exclude(counted_at=None).order_by("-starts_at")[:WEEKS_COUNTED])
    weeks.reverse()
    trends: dict[str, dict[str, list[RatingTrend]]] = defaultdict(lambda: defaultdict(list))
    rows = lists.rows(RatingTrend).filter(week__in=weeks).select_related("week").order_by("week__starts_at")
    for trend in rows:
        trends[trend.trend_of][trend.value].append(trend)
    places = {week.pk: place for place, week in enumerate(weeks)}
    titles = release_titles(trends[TrendOf.RELEASE])
    return Ratings(
        counted_at=weeks[-1].counted_at if weeks else None,
        weeks=len(weeks),
        groups=[_group(trend_of, trends[trend_of], places, titles) for trend_of in TrendOf if trends[trend_of]],
    )


def _group(
    trend_of: TrendOf, values: Mapping[str, list[RatingTrend]], places: Mapping[int, int], titles: Mapping[str, str]
) -> TrendGroup:
    by_size = sorted(values, key=lambda value: -sum(trend.ratings for trend in values[value]))
    shown = sorted(by_size[:MOST_VALUES], key=_in_order)
    return TrendGroup(
        words=str(trend_of.label),
        rows=[_row(trend_of, value, values[value], places, titles) for value in shown],
        others=len(by_size) - len(shown),
    )


def _in_order(value: str) -> tuple[int, str]:
    """Sort grades by number, and names by letters."""
    return (int(value), "") if value.isdecimal() else (0, value)


def _row(
    trend_of: TrendOf,
    value: str,
    trends: Sequence[RatingTrend],
    places: Mapping[int, int],
    titles: Mapping[str, str],
) -> TrendRow:
    newest = trends[-1]
    words = _words(trend_of, value, titles)
    spots = [
        Spot(place=places[each.week_id], share=each.share, low=each.low, high=each.high)
        for each in trends
        if each.good + each.bad
    ]
    return TrendRow(
        words=words,
        newest=Figure(words=words, number=newest.ratings, place=_place(trend_of, value, newest.week)),
        week=date_format(timezone.localtime(newest.week.starts_at), "j.m"),
        percent=round(100 * newest.share),
        low=round(100 * newest.low),
        high=round(100 * newest.high),
        schools=newest.schools,
        line=trend_line(spots, places=len(places)),
    )


def _words(trend_of: TrendOf, value: str, titles: Mapping[str, str]) -> str:
    if trend_of == TrendOf.ALL:
        return gettext("all")
    if trend_of == TrendOf.GRADE:
        return gettext("no grade") if value == "0" else value
    return titles.get(value, value[:40]) if value else "–"


def _place(trend_of: TrendOf, value: str, week: RatingWeek) -> str:
    """Return the list of exactly the ratings that were counted, however many have come since."""
    end = min(week.counted_at or week.starts_at, week.starts_at + WEEK)
    lookups = {
        "received_at__gte": week.starts_at.isoformat(),
        "received_at__lt": end.isoformat(),
        "is_deleted__exact": 0,
    }
    return place_of(Rating, **lookups, **({_LOOKUPS[trend_of]: value} if trend_of in _LOOKUPS else {}))
