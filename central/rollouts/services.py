"""What people do with rollouts; with `tick`, `director` and `reports` the only writer of the app's tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from central.releases.models import Release
from central.rollouts.errors import (
    ApproverIsCreator,
    ReasonMissing,
    ReleaseNotReady,
    RolloutUnknown,
    RolloutWithoutWaves,
)
from central.rollouts.models import (
    DAY_SECONDS,
    AssignmentStatus,
    PauseReason,
    Rollout,
    RolloutStatus,
    Wave,
    WaveStatus,
)
from central.rollouts.verdict import WaveRules
from central.rollouts.wave_spec import WaveSpec
from central.schools.transitions import status_move

DEFAULT_RULES = WaveRules(
    min_committed=1,
    pass_share=0.9,
    failures_allowed=0,
    soak=timedelta(seconds=2 * DAY_SECONDS),
    deadline=timedelta(seconds=21 * DAY_SECONDS),
)


def rollout_get(rollout_id: str) -> Rollout:
    """Return the rollout of this id.

    Raises:
        RolloutUnknown: there is none.
    """
    rollout = Rollout.objects.filter(pk=int(rollout_id)).first() if rollout_id.isdecimal() else None
    if rollout is None:
        raise RolloutUnknown(rollout=rollout_id)
    return rollout


def rollout_create(
    *,
    release: Release,
    waves: Sequence[WaveSpec],
    creator: str,
    now: datetime,
    rules: WaveRules = DEFAULT_RULES,
    starts_at: datetime | None = None,
) -> Rollout:
    """Return a draft that would offer `release` to `waves`, in their order, each judged by `rules`.

    Raises:
        ReleaseNotReady: the release is not in force.
        RolloutWithoutWaves: there is nobody to offer it to.
    """
    if not release.is_in_force:
        raise ReleaseNotReady(release=release.version, status=release.status)
    if not waves:
        raise RolloutWithoutWaves
    with transaction.atomic():
        rollout = Rollout.objects.create(release=release, created_by=creator, created_at=now, starts_at=starts_at)
        for number, spec in enumerate(waves, start=1):
            _wave_add(rollout, number, spec, rules)
    return rollout


def _wave_add(rollout: Rollout, number: int, spec: WaveSpec, rules: WaveRules) -> None:
    wave = Wave.objects.create(
        rollout=rollout,
        number=number,
        name=spec.name,
        percent=spec.percent,
        min_committed=rules.min_committed,
        pass_share=rules.pass_share,
        failures_allowed=rules.failures_allowed,
        soak_seconds=int(rules.soak.total_seconds()),
        deadline_seconds=int(rules.deadline.total_seconds()),
    )
    wave.schools.set(spec.schools)


def rollout_submit(*, rollout: Rollout, actor: str, now: datetime) -> None:
    """Ask for approval of a draft.

    Raises:
        RolloutWithoutWaves: there is nobody to offer it to.
    """
    if not rollout.waves.exists():
        raise RolloutWithoutWaves
    status_move(rollout, to=RolloutStatus.PENDING_APPROVAL, actor=actor, now=now)


def rollout_approve(*, rollout: Rollout, approver: str, now: datetime) -> None:
    """Let the rollout start at its time.

    Raises:
        ApproverIsCreator: nobody approves their own.
        ReleaseNotReady: the release was revoked meanwhile.
    """
    if approver == rollout.created_by:
        raise ApproverIsCreator(user=approver)
    if not rollout.release.is_in_force:
        raise ReleaseNotReady(release=rollout.release.version, status=rollout.release.status)
    status_move(rollout, to=RolloutStatus.SCHEDULED, actor=approver, now=now, approved_by=approver)


def rollout_reject(*, rollout: Rollout, actor: str, reason: str, now: datetime) -> None:
    """Turn the rollout down for good."""
    status_move(rollout, to=RolloutStatus.REJECTED, actor=actor, reason=reason, now=now, ended_at=now)


def rollout_start(*, rollout: Rollout, actor: str, now: datetime) -> None:
    """Let the rollout run; the next tick opens its first wave."""
    status_move(rollout, to=RolloutStatus.RUNNING, actor=actor, now=now, started_at=now)


def rollout_pause(*, rollout: Rollout, reason: PauseReason, actor: str, now: datetime) -> None:
    """Offer the release to nobody new, and tell nodes on the way to stay as they are."""
    status_move(rollout, to=RolloutStatus.PAUSED, actor=actor, reason=reason, now=now, pause_reason=reason)


def rollout_resume(*, rollout: Rollout, actor: str, now: datetime) -> None:
    """Go on where the rollout was paused.

    Raises:
        ReleaseNotReady: the release was revoked.
    """
    if not rollout.release.is_in_force:
        raise ReleaseNotReady(release=rollout.release.version, status=rollout.release.status)
    status_move(rollout, to=RolloutStatus.RUNNING, actor=actor, now=now, pause_reason="")


def rollout_abort(*, rollout: Rollout, actor: str, reason: str, now: datetime) -> None:
    """End the rollout: nodes that have committed keep the release, the others stay as they are."""
    with transaction.atomic():
        status_move(
            rollout, to=RolloutStatus.ABORTED, actor=actor, reason=reason, now=now, pause_reason="", ended_at=now
        )
        _on_the_way_cancel(rollout, actor, now)


def rollout_roll_back(*, rollout: Rollout, actor: str, reason: str, now: datetime) -> None:
    """Send the nodes that have committed back to the release they ran before."""
    with transaction.atomic():
        status_move(rollout, to=RolloutStatus.ROLLING_BACK, actor=actor, reason=reason, now=now, pause_reason="")
        _on_the_way_cancel(rollout, actor, now)


def _on_the_way_cancel(rollout: Rollout, actor: str, now: datetime) -> None:
    for assignment in rollout.assignments.on_the_way():
        status_move(assignment, to=AssignmentStatus.CANCELLED, actor=actor, now=now, ended_at=now)


def wave_extend(*, wave: Wave, actor: str, now: datetime) -> None:
    """Give an inconclusive wave its deadline once more, counted from now; its rollout goes on when resumed."""
    status_move(wave, to=WaveStatus.OPEN, actor=actor, reason="extended", now=now, opened_at=now, ended_at=None)


def wave_override(*, wave: Wave, actor: str, reason: str, now: datetime) -> None:
    """Let an inconclusive wave pass on a person's word.

    Raises:
        ReasonMissing: the audit needs to know why.
    """
    if not reason.strip():
        raise ReasonMissing
    status_move(
        wave, to=WaveStatus.PASSED, actor=actor, reason=reason, now=now, ended_at=now, verdict_reason="override"
    )
