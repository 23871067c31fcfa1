"""Moves running rollouts on: starts them, opens waves, judges them, ends them. Safe to run at any time and twice."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime

from django.db import transaction

from central.rollouts.assigning import ACTOR, wave_assign
from central.rollouts.budget import failures_allowed, failures_counted
from central.rollouts.evidence import quality_outcome, quality_plain, wave_counts, wave_quality
from central.rollouts.models import (
    AssignmentStatus,
    PauseReason,
    Rollout,
    RolloutStatus,
    Wave,
    WaveStatus,
)
from central.rollouts.quality import Quality
from central.rollouts.services import rollout_pause, rollout_start
from central.rollouts.verdict import WaveCounts, WaveOutcome, WaveVerdict, wave_judge
from central.schools.transitions import status_move

LOGGER = logging.getLogger(__name__)
_TICKING = (RolloutStatus.SCHEDULED, RolloutStatus.RUNNING, RolloutStatus.ROLLING_BACK)
_ENDINGS = (WaveOutcome.PASSED, WaveOutcome.FAILED, WaveOutcome.INCONCLUSIVE)


def rollouts_advance(*, now: datetime) -> None:
    """Tick every rollout that may move by itself; one that fails does not hold the others."""
    for pk in Rollout.objects.filter(status__in=_TICKING).order_by("pk").values_list("pk", flat=True):
        try:
            rollout_tick(rollout_id=pk, now=now)
        except Exception:
            LOGGER.exception("rollout %s could not be ticked", pk)


def rollout_tick(*, rollout_id: int, now: datetime) -> None:
    """Move one rollout as far as the tables allow now."""
    with transaction.atomic():
        rollout = _locked(rollout_id)
        if rollout.status == RolloutStatus.SCHEDULED and (rollout.starts_at is None or rollout.starts_at <= now):
            rollout_start(rollout=rollout, actor=ACTOR, now=now)
        if rollout.status == RolloutStatus.RUNNING:
            _running_advance(rollout, now)
        elif rollout.status == RolloutStatus.ROLLING_BACK and not _on_it(rollout):
            status_move(rollout, to=RolloutStatus.ROLLED_BACK, actor=ACTOR, now=now, ended_at=now)


def rollout_halt(*, rollout_id: int, now: datetime) -> None:
    """Pause the rollout at once if too many of its schools have failed; the next tick would find the same."""
    with transaction.atomic():
        rollout = _locked(rollout_id)
        if rollout.status != RolloutStatus.RUNNING or _revoked_pause(rollout, now):
            return
        for wave in rollout.waves.filter(status__in=(WaveStatus.OPEN, WaveStatus.SOAKING)):
            counts = wave_counts(wave, now=now)
            verdict = _judge(wave, counts, None, now)
            if verdict.outcome is WaveOutcome.FAILED:
                _wave_end(wave, verdict, counts, None, now)
                _pause_for(rollout, wave, now)
                return
        _budget_judge(rollout, now)


def _locked(rollout_id: int) -> Rollout:
    # Of two workers, the second waits here and then finds nothing left to do; SQLite has one writer anyway.
    rows = Rollout.objects.select_for_update(of=("self",), no_key=True).select_related("release__base")
    return rows.get(pk=rollout_id)


def _on_it(rollout: Rollout) -> bool:
    """Tell whether a node still has the release that is being taken back, or may have it."""
    digest = rollout.release.digest
    cancelled = rollout.assignments.filter(status=AssignmentStatus.CANCELLED, node__running=digest)
    return rollout.assignments.committed().exists() or cancelled.exclude(previous_release=digest).exists()


def _running_advance(rollout: Rollout, now: datetime) -> None:
    if _revoked_pause(rollout, now):
        return
    for wave in rollout.waves.order_by("number"):
        if wave.status == WaveStatus.PASSED:
            continue
        if wave.status == WaveStatus.PENDING:
            if _budget_judge(rollout, now):
                return
            status_move(wave, to=WaveStatus.OPEN, actor=ACTOR, now=now, opened_at=now)
            wave_assign(wave=wave, now=now)
        if wave.status in (WaveStatus.OPEN, WaveStatus.SOAKING):
            _wave_advance(wave, now)
        if wave.status != WaveStatus.PASSED:
            if not _pause_for(rollout, wave, now):
                _budget_judge(rollout, now)
            return
    if not _budget_judge(rollout, now):
        status_move(rollout, to=RolloutStatus.COMPLETED, actor=ACTOR, now=now, ended_at=now)


def _revoked_pause(rollout: Rollout, now: datetime) -> bool:
    """Pause the rollout if its release, or its base, was revoked; tell whether that was so."""
    if rollout.is_offerable:
        return False
    rollout_pause(rollout=rollout, reason=PauseReason.REVOKED, actor=ACTOR, now=now)
    return True


def _budget_judge(rollout: Rollout, now: datetime) -> bool:
    """Pause the rollout if more have failed in all its waves than it allows; tell whether that was so."""
    if failures_counted(rollout) <= failures_allowed(rollout):
        return False
    rollout_pause(rollout=rollout, reason=PauseReason.ERROR_THRESHOLD, actor=ACTOR, now=now)
    return True


def _pause_for(rollout: Rollout, wave: Wave, now: datetime) -> bool:
    """Pause the rollout if its wave has failed or waits for a person; tell whether that was so."""
    reasons = {
        WaveStatus.FAILED: PauseReason.ERROR_THRESHOLD,
        WaveStatus.INCONCLUSIVE: (
            PauseReason.QUALITY if wave.verdict_reason == "ratings_worse" else PauseReason.INCONCLUSIVE
        ),
    }
    reason = reasons.get(WaveStatus(wave.status))
    if reason is not None:
        rollout_pause(rollout=rollout, reason=reason, actor=ACTOR, now=now)
    return reason is not None


def _wave_advance(wave: Wave, now: datetime) -> None:
    counts, quality = wave_counts(wave, now=now), wave_quality(wave)
    verdict = _judge(wave, counts, quality, now)
    if verdict.outcome is WaveOutcome.SOAKING and wave.soaking_since is None:
        _soak_begin(wave, verdict, now)
        verdict = _judge(wave, counts, quality, now)
    elif verdict.outcome is WaveOutcome.OPEN and wave.soaking_since is not None:
        # Good no longer: success must last, so the soak begins anew once it is good again.
        _soaking_since_set(wave, None)
    if verdict.outcome in _ENDINGS:
        _wave_end(wave, verdict, counts, quality, now)


def _soak_begin(wave: Wave, verdict: WaveVerdict, now: datetime) -> None:
    if wave.status == WaveStatus.OPEN:
        status_move(
            wave, to=WaveStatus.SOAKING, actor=ACTOR, reason=verdict.reason, now=now, verdict_reason=verdict.reason
        )
    _soaking_since_set(wave, now)


def _soaking_since_set(wave: Wave, since: datetime | None) -> None:
    Wave.objects.filter(pk=wave.pk).update(soaking_since=since)
    wave.soaking_since = since


def _judge(wave: Wave, counts: WaveCounts, quality: Quality | None, now: datetime) -> WaveVerdict:
    opened_at, activates_at = wave.opened_at or now, wave.rollout.activates_at
    return wave_judge(
        counts=counts,
        rules=wave.rules(),
        # Schools that only fetch until a date can have nothing to say before it.
        opened_at=max(opened_at, activates_at or opened_at),
        soaking_since=wave.soaking_since,
        now=now,
        quality=quality_outcome(quality),
    )


def _wave_end(wave: Wave, verdict: WaveVerdict, counts: WaveCounts, quality: Quality | None, now: datetime) -> None:
    status_move(
        wave,
        to=WaveStatus(verdict.outcome.value),
        actor=ACTOR,
        reason=verdict.reason,
        now=now,
        verdict_reason=verdict.reason,
        counts=asdict(counts),
        quality=quality_plain(quality),
        ended_at=now,
    )
