"""Moves running rollouts on: starts them, opens waves, judges them, ends them. Safe to run at any time and twice."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime

from django.db import transaction

from central.rollouts.director import assignment_make
from central.rollouts.membership import wave_of
from central.rollouts.models import PauseReason, Rollout, RolloutStatus, Wave, WaveStatus
from central.rollouts.services import rollout_pause, rollout_start
from central.rollouts.verdict import WaveCounts, WaveOutcome, WaveVerdict, wave_judge
from central.schools.models import Node
from central.schools.transitions import status_move

LOGGER = logging.getLogger(__name__)
ACTOR = "centre"
_TICKING = (RolloutStatus.SCHEDULED, RolloutStatus.RUNNING, RolloutStatus.ROLLING_BACK)
_PAUSES = {
    WaveOutcome.FAILED: PauseReason.ERROR_THRESHOLD,
    WaveOutcome.INCONCLUSIVE: PauseReason.INCONCLUSIVE,
}


def rollouts_advance(*, now: datetime) -> None:
    """Tick every rollout that may move by itself; one that fails does not hold the others."""
    for pk in Rollout.objects.filter(status__in=_TICKING).values_list("pk", flat=True):
        try:
            rollout_tick(rollout_id=pk, now=now)
        except Exception:
            LOGGER.exception("rollout %s could not be ticked", pk)


def rollout_tick(*, rollout_id: int, now: datetime) -> None:
    """Move one rollout as far as the tables allow now."""
    with transaction.atomic():
        # Of two workers, the second waits here and then finds nothing left to do; SQLite has one writer anyway.
        rollout = Rollout.objects.select_for_update().get(pk=rollout_id)
        if rollout.status == RolloutStatus.SCHEDULED and (rollout.starts_at is None or rollout.starts_at <= now):
            rollout_start(rollout=rollout, actor=ACTOR, now=now)
        if rollout.status == RolloutStatus.RUNNING:
            _running_advance(rollout, now)
        elif rollout.status == RolloutStatus.ROLLING_BACK and not rollout.assignments.committed().exists():
            status_move(rollout, to=RolloutStatus.ROLLED_BACK, actor=ACTOR, now=now, ended_at=now)


def _running_advance(rollout: Rollout, now: datetime) -> None:
    if not rollout.release.is_in_force:
        rollout_pause(rollout=rollout, reason=PauseReason.REVOKED, actor=ACTOR, now=now)
        return
    for wave in rollout.waves.order_by("number"):
        if wave.status == WaveStatus.PASSED:
            continue
        if wave.status == WaveStatus.PENDING:
            _wave_open(wave, now)
        if wave.status in (WaveStatus.OPEN, WaveStatus.SOAKING):
            _wave_advance(wave, now)
        if wave.status != WaveStatus.PASSED:
            _pause_for(rollout, wave, now)
            return
    status_move(rollout, to=RolloutStatus.COMPLETED, actor=ACTOR, now=now, ended_at=now)


def _pause_for(rollout: Rollout, wave: Wave, now: datetime) -> None:
    if wave.status in (WaveStatus.FAILED, WaveStatus.INCONCLUSIVE):
        rollout_pause(rollout=rollout, reason=_PAUSES[WaveOutcome(wave.status)], actor=ACTOR, now=now)


def _wave_open(wave: Wave, now: datetime) -> None:
    status_move(wave, to=WaveStatus.OPEN, actor=ACTOR, now=now, opened_at=now)
    scopes = wave.rollout.scopes()
    taken = wave.rollout.assignments.values("node")
    for node in Node.objects.active().exclude(pk__in=taken):
        number = wave_of(node_id=str(node.pk), school_id=node.school_id, rollout_id=wave.rollout_id, waves=scopes)
        if number == wave.number:
            assignment_make(node=node, wave=wave, now=now)


def wave_counts(wave: Wave) -> WaveCounts:
    """Return where the wave's nodes stand now."""
    assignments = wave.assignments
    return WaveCounts(
        contacted=assignments.contacted().count(),
        committed=assignments.committed().count(),
        failed=assignments.failed().count(),
    )


def _wave_advance(wave: Wave, now: datetime) -> None:
    counts = wave_counts(wave)
    verdict = _judge(wave, counts, now)
    if verdict.outcome is WaveOutcome.SOAKING and wave.status == WaveStatus.OPEN:
        _wave_move(wave, verdict, counts, now, soaking_since=now)
        verdict = _judge(wave, counts, now)
    if verdict.outcome in (WaveOutcome.PASSED, WaveOutcome.FAILED, WaveOutcome.INCONCLUSIVE):
        _wave_move(wave, verdict, counts, now, ended_at=now)


def _judge(wave: Wave, counts: WaveCounts, now: datetime) -> WaveVerdict:
    opened_at = wave.opened_at or now
    return wave_judge(counts=counts, rules=wave.rules(), opened_at=opened_at, soaking_since=wave.soaking_since, now=now)


def _wave_move(wave: Wave, verdict: WaveVerdict, counts: WaveCounts, now: datetime, **times: datetime) -> None:
    status_move(
        wave,
        to=WaveStatus(verdict.outcome.value),
        actor=ACTOR,
        reason=verdict.reason,
        now=now,
        verdict_reason=verdict.reason,
        counts=asdict(counts),
        **times,
    )


def late_node_join(*, node: Node, now: datetime) -> None:
    """Give an active node that no rollout has considered yet its part in the newest one that is open to it."""
    open_to_all = (RolloutStatus.RUNNING, RolloutStatus.COMPLETED)
    rollout = Rollout.objects.filter(status__in=open_to_all).order_by("-pk").first()
    if rollout is None or not rollout.release.is_in_force or rollout.assignments.filter(node=node).exists():
        return
    number = wave_of(node_id=str(node.pk), school_id=node.school_id, rollout_id=rollout.pk, waves=rollout.scopes())
    offering = (WaveStatus.OPEN, WaveStatus.SOAKING, WaveStatus.PASSED)
    wave = rollout.waves.filter(number=number, status__in=offering).first() if number is not None else None
    if wave is not None:
        assignment_make(node=node, wave=wave, now=now)
