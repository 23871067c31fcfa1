"""Rollouts under way, wave by wave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count
from django.utils.translation import gettext

from central.bars import Segment, bar_segments
from central.dashboard.lists import Figure, Lists, place_of
from central.rollouts.models import Assignment, Rollout, RolloutStatus, Wave
from central.rollouts.standing import STANDINGS, standing_numbers

MOST_ROLLOUTS = 3
UNDER_WAY = (RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.ROLLING_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One kind of assignments in a wave: its name for the stylesheet, its figure, and its piece of the bar."""

    name: str
    figure: Figure
    segment: Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveBar:
    """A wave's bar."""

    words: str
    status: str
    percent: int
    total: Figure
    parts: list[Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutBars:
    """A rollout and its waves."""

    words: str
    status: str
    place: str
    waves: list[WaveBar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """All that is drawn of rollouts."""

    under_way: Figure
    shown: list[RolloutBars]


def rollout_figures(lists: Lists) -> Rollouts:
    """Return how far the newest rollouts under way have come."""
    under_way = lists.rows(Rollout).filter(status__in=UNDER_WAY)
    shown = list(
        under_way.select_related(None)
        .select_related("release")
        .only("pk", "status", "pause_reason", "release__title")
        .order_by("-pk")[:MOST_ROLLOUTS]
    )
    counts = _counts(lists, shown)
    waves: dict[int, list[WaveBar]] = defaultdict(list)
    for wave in lists.rows(Wave).filter(rollout__in=shown).order_by("rollout_id", "number"):
        waves[wave.rollout_id].append(_wave_bar(wave, counts[wave.pk]))
    return Rollouts(
        under_way=Figure(
            words=gettext("rollouts under way"),
            number=under_way.count(),
            place=place_of(Rollout, status__in=",".join(UNDER_WAY)),
        ),
        shown=[_rollout_bars(each, waves[each.pk]) for each in shown],
    )


def _counts(lists: Lists, shown: list[Rollout]) -> Mapping[int, Mapping[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    rows = lists.rows(Assignment).filter(rollout__in=shown).values_list("wave", "status").annotate(number=Count("pk"))
    for wave, status, number in rows:
        found[wave][status] = number
    return found


def _rollout_bars(rollout: Rollout, waves: list[WaveBar]) -> RolloutBars:
    status = rollout.get_status_display()
    if rollout.pause_reason:
        status = f"{status}: {rollout.get_pause_reason_display()}"
    return RolloutBars(words=str(rollout), status=status, place=f"{place_of(Rollout)}{rollout.pk}/change/", waves=waves)


def _wave_bar(wave: Wave, counts: Mapping[str, int]) -> WaveBar:
    numbers = standing_numbers(counts)
    total = sum(numbers.values())
    segments = bar_segments(list(numbers.values()), whole=total)
    return WaveBar(
        words=str(wave),
        status=wave.get_status_display(),
        percent=round(100 * numbers["committed"] / total) if total else 0,
        total=Figure(words=gettext("school PCs"), number=total, place=place_of(Assignment, wave__id__exact=wave.pk)),
        parts=[
            Part(name=name, figure=_figure(wave, name, number), segment=segment)
            for (name, number), segment in zip(numbers.items(), segments, strict=True)
            if number
        ],
    )


def _figure(wave: Wave, name: str, number: int) -> Figure:
    words, statuses = STANDINGS[name]
    lookups = {"wave__id__exact": wave.pk, "status__in": ",".join(statuses)}
    return Figure(words=str(words), number=number, place=place_of(Assignment, **lookups))
