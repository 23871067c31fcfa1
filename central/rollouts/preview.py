"""What a rollout would do, before anybody approves it: which school is in which wave, which in none and why.

It draws the waves by the very rules by which they will be opened; between now and then only schools that come, go or
change their marks make a difference.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import F
from django.utils import timezone

from central.rollouts.bytes_needed import BytesNeeded
from central.rollouts.expected import PastFetch, expected_days
from central.rollouts.membership import WaveScope, wave_of
from central.rollouts.models import Assignment, Rollout
from central.rollouts.placing import bounds_of, node_facts, nodes_bound_elsewhere
from central.rollouts.targeting import SchoolFacts
from central.schools.models import Node, NodeStatus, School

PAST_ROLLOUTS = 10
"""So many of the last rollouts tell how fast a school fetches."""


class SkipReason(enum.Enum):
    """Why a school gets nothing from a rollout."""

    NO_PC = "no_pc"
    NOT_ACTIVE = "not_active"
    NOT_TARGETED = "not_targeted"
    IN_NO_WAVE = "in_no_wave"
    IN_NEWER_ROLLOUT = "in_newer_rollout"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """One PC in its wave."""

    node_id: str
    school: str
    region: str
    wave: int
    size_bytes: int
    """That it has to fetch; 0 where the release runs there already."""
    days: float
    """In which it will have fetched and reported, by its rhythm and its past fetches."""
    is_silent: bool
    """It has been away for longer than it ever is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedSchool:
    """A school, or one of its PCs, that gets nothing."""

    school: str
    region: str
    node_id: str
    """Empty where the school has no PC."""
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWave:
    """A wave and what it takes; the days are those of the middle school and of nine in ten."""

    number: int
    name: str
    nodes: tuple[PlannedNode, ...]
    size_bytes: int
    days_median: float
    days_most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """All schools: those in waves, and those in none."""

    waves: tuple[PlannedWave, ...]
    skipped: tuple[SkippedSchool, ...]
    drawn_at: datetime


def preview_within(preview: Preview, region: str | None) -> Preview:
    """Return what of the preview concerns one region; None: all of it."""
    if region is None:
        return preview
    nodes = [node for wave in preview.waves for node in wave.nodes if node.region == region]
    return replace(
        preview,
        waves=tuple(_wave(wave.number, wave.name, nodes) for wave in preview.waves),
        skipped=tuple(school for school in preview.skipped if school.region == region),
    )


def rollout_preview(*, rollout: Rollout, now: datetime) -> Preview:
    """Return what the rollout, which may be a draft, would do if it started at `now`."""
    nodes = {str(node.pk): node for node in Node.objects.select_related("school").prefetch_related("school__tags")}
    facts = {node_id: node_facts(node) for node_id, node in nodes.items()}
    active = [facts[node_id] for node_id, node in nodes.items() if node.status == NodeStatus.ACTIVE]
    target, scopes = rollout.target(), _scopes(rollout, active)
    bytes_needed, past = BytesNeeded(rollout.release), _past_fetches()
    taken = {str(node) for node in nodes_bound_elsewhere(rollout).values_list("node", flat=True)}
    planned: list[PlannedNode] = []
    skipped = _without_pc(nodes.values())
    for node_id, node in nodes.items():
        is_admitted = target.admits(facts[node_id])
        reason, wave = _place(rollout, node, facts[node_id], scopes, is_admitted=is_admitted, is_taken=node_id in taken)
        if reason is not None:
            skipped.append(_skipped(node, reason))
        elif wave is not None:
            planned.append(_planned(node, wave, bytes_needed.of(node), past.get(node_id, []), now))
    names = dict(rollout.waves.values_list("number", "name"))
    return Preview(
        waves=tuple(_wave(number, name, planned) for number, name in sorted(names.items())),
        skipped=tuple(skipped),
        drawn_at=now,
    )


def _scopes(rollout: Rollout, active: Sequence[SchoolFacts]) -> list[WaveScope]:
    if rollout.started_at is not None:
        return rollout.scopes()
    bounds = bounds_of(rollout, active)
    return [
        WaveScope(number=scope.number, school_ids=scope.school_ids, place_below=bounds[scope.number])
        for scope in rollout.scopes()
    ]


def _place(
    rollout: Rollout, node: Node, facts: SchoolFacts, scopes: list[WaveScope], *, is_admitted: bool, is_taken: bool
) -> tuple[SkipReason | None, int | None]:
    if node.status != NodeStatus.ACTIVE:
        return SkipReason.NOT_ACTIVE, None
    if not is_admitted:
        return SkipReason.NOT_TARGETED, None
    if is_taken:
        return SkipReason.IN_NEWER_ROLLOUT, None
    wave = wave_of(node_id=facts.node_id, school_id=facts.school_id, rollout_id=rollout.pk, waves=scopes)
    return (SkipReason.IN_NO_WAVE, None) if wave is None else (None, wave)


def _without_pc(nodes: Iterable[Node]) -> list[SkippedSchool]:
    with_pc = {node.school_id for node in nodes}
    return [
        SkippedSchool(school=name, region=region, node_id="", reason=SkipReason.NO_PC)
        for pk, name, region in School.objects.values_list("pk", "name", "region")
        if pk not in with_pc
    ]


def _skipped(node: Node, reason: SkipReason) -> SkippedSchool:
    return SkippedSchool(school=node.school.name, region=node.school.region, node_id=str(node.pk), reason=reason)


def _planned(node: Node, wave: int, size_bytes: int, past: list[PastFetch], now: datetime) -> PlannedNode:
    rhythm = node.rhythm
    return PlannedNode(
        node_id=str(node.pk),
        school=node.school.name,
        region=node.school.region,
        wave=wave,
        size_bytes=size_bytes,
        days=expected_days(size_bytes=size_bytes, past=past, gap_days=rhythm.gap_days()),
        is_silent=rhythm.is_overdue(timezone.localdate(now)),
    )


def _wave(number: int, name: str, planned: Iterable[PlannedNode]) -> PlannedWave:
    nodes = tuple(sorted((each for each in planned if each.wave == number), key=lambda each: each.school))
    days = sorted(each.days for each in nodes) or [0.0]
    return PlannedWave(
        number=number,
        name=name,
        nodes=nodes,
        size_bytes=sum(each.size_bytes for each in nodes),
        days_median=statistics.median(days),
        days_most=days[min(len(days) - 1, int(0.9 * len(days)))],
    )


def _past_fetches() -> dict[str, list[PastFetch]]:
    last = Rollout.objects.exclude(started_at=None).order_by("-started_at").values_list("pk", flat=True)[:PAST_ROLLOUTS]
    done = Assignment.objects.has_run().filter(
        rollout__in=list(last), offered_at__isnull=False, reported_at__isnull=False
    )
    past: dict[str, list[PastFetch]] = {}
    for node, size_bytes, took in done.annotate(took=F("reported_at") - F("offered_at")).values_list(
        "node", "bytes_fetched", "took"
    ):
        days = took / timedelta(days=1)
        past.setdefault(str(node), []).append(PastFetch(size_bytes=size_bytes, days=days))
    return past
