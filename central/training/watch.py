"""What a person watches of a season and its rounds: how far schools have come, by region, and how adapters compare.

Reads tables, and decides nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q

from central.releases.judgement import of_variant
from central.releases.models import NEVER_DRAWN, Release
from central.releases.verdict_drawing import ReasonLine, reasons_said
from central.training.models import Offer, Round, Season, Update, UpdateStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRow:
    """How far one region's PCs have come."""

    region: str
    offered: int
    learnt: int
    accepted: int
    refused: int
    quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundWatch:
    """A round's counts: of the season's plans so far, and of the updates that this round has."""

    regions: tuple[RegionRow, ...]
    total: RegionRow
    wanted: int
    staleness: tuple[tuple[int, int], ...]
    """Staleness, and how many accepted updates have it."""
    runs: tuple[str, ...]
    connected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRow:
    """One of the season's candidates beside the others."""

    number: int
    version: int | None
    release: Release
    updates: int
    labels: int
    corrections_gain: float | None
    corrections_step: float | None
    unrelated_loss: float | None
    epsilon: float | None
    reasons: tuple[ReasonLine, ...]


def round_watch(round_: Round, *, now: datetime) -> RoundWatch:
    """Return how far the round has come."""
    offers = _offers(round_.season)
    updates = _updates(round_)
    regions = sorted({*offers, *updates})
    rows = tuple(_row(region, offers.get(region, {}), updates.get(region, {})) for region in regions)
    staleness = Counter(round_.updates.accepted().values_list("staleness", flat=True))
    return RoundWatch(
        regions=rows,
        total=RegionRow(region="", **{name: sum(getattr(row, name) for row in rows) for name in _COUNTS}),
        wanted=round_.wanted,
        staleness=tuple(sorted(staleness.items())),
        runs=tuple(round_.runs.values_list("flwr_run_id", flat=True)),
        connected=round_.leases.filter(expires_at__gt=now).count(),
    )


def adapters_compare(season: Season) -> tuple[AdapterRow, ...]:
    """Return the season's candidates in the order in which they were made, those that were refused too."""
    unread = [f"release__{name}" for name in NEVER_DRAWN]
    rounds = season.rounds.exclude(release=None).select_related("release").defer(*unread).order_by("number")
    return tuple(_adapter(round_, round_.release) for round_ in rounds if round_.release)


_COUNTS = ("offered", "learnt", "accepted", "refused", "quarantined")


def _offers(season: Season) -> dict[str, Mapping[str, Any]]:
    # A school that has answered several plans of the season counts once.
    rows = Offer.objects.filter(plan__season=season).values("node__school__region")
    learnt = Count("node", distinct=True, filter=Q(trained_at__isnull=False))
    return {
        row["node__school__region"]: row for row in rows.annotate(offered=Count("node", distinct=True), learnt=learnt)
    }


def _updates(round_: Round) -> dict[str, Mapping[str, Any]]:
    rows = Update.objects.filter(round=round_).order_by().values("node__school__region")
    statuses = (UpdateStatus.ACCEPTED, UpdateStatus.REFUSED, UpdateStatus.QUARANTINED)
    counts = {str(status.value): Count("pk", filter=Q(status=status)) for status in statuses}
    return {row["node__school__region"]: row for row in rows.annotate(**counts)}


def _row(region: str, offers: Mapping[str, Any], updates: Mapping[str, Any]) -> RegionRow:
    found = {**offers, **updates}
    return RegionRow(region=region, **{name: found.get(name, 0) for name in _COUNTS})


def _adapter(round_: Round, release: Release) -> AdapterRow:
    report: Mapping[str, Any] = of_variant(release.gate_report, "") if release.gate_report else {}
    return AdapterRow(
        number=round_.number,
        version=round_.version,
        release=release,
        updates=release.card.get("updates", 0),
        labels=release.card.get("labels", 0),
        corrections_gain=report.get("corrections_gain"),
        corrections_step=report.get("corrections_step"),
        unrelated_loss=report.get("unrelated_loss"),
        epsilon=release.card.get("epsilon"),
        reasons=reasons_said(release),
    )
