"""What people do with rollouts; how they are planned stands in `planning`.

With `planning`, `assigning`, `tick`, `director` and `reports` the only writer of the app's tables.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from central.rollouts.budget import failures_allowed, failures_counted
from central.rollouts.errors import (
    ApproverIsCreator,
    BudgetSpent,
    ReasonMissing,
    ReleaseNotReady,
    RolloutWithoutWaves,
    WaveUndecided,
)
from central.rollouts.models import AssignmentStatus, PauseReason, Rollout, RolloutStatus, Wave, WaveStatus
from central.rollouts.placing import bounds_of, facts_of
from central.rollouts.planning import (
    DEFAULT_RULES,
    DEFAULT_TERMS,
    rollout_create,
    rollout_get,
    rollout_replan,
    school_filter_change,
    school_filter_delete,
    school_filter_save,
)
from central.schools.audit import audit_record
from central.schools.models import Node
from central.schools.reach import entity_of, steering_expect
from central.schools.transitions import status_move, statuses_move

__all__ = [
    "DEFAULT_RULES",
    "DEFAULT_TERMS",
    "budget_raise",
    "rollout_abort",
    "rollout_approve",
    "rollout_create",
    "rollout_get",
    "rollout_pause",
    "rollout_reject",
    "rollout_replan",
    "rollout_resume",
    "rollout_roll_back",
    "rollout_start",
    "rollout_submit",
    "school_filter_change",
    "school_filter_delete",
    "school_filter_save",
    "wave_extend",
    "wave_override",
]
_UNDECIDED = (WaveStatus.FAILED, WaveStatus.INCONCLUSIVE)


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
        ReleaseNotReady: the release, or its base, was revoked meanwhile.
    """
    if approver == rollout.created_by:
        raise ApproverIsCreator(user=approver)
    _offerable_expect(rollout)
    status_move(rollout, to=RolloutStatus.SCHEDULED, actor=approver, now=now, approved_by=approver)


def rollout_reject(*, rollout: Rollout, actor: str, reason: str, now: datetime) -> None:
    """Turn the rollout down for good."""
    status_move(rollout, to=RolloutStatus.REJECTED, actor=actor, reason=reason, now=now, ended_at=now)


def rollout_start(*, rollout: Rollout, actor: str, now: datetime) -> None:
    """Let the rollout run; its shares become bounds of places, and the next tick opens its first wave."""
    with transaction.atomic():
        status_move(
            rollout, to=RolloutStatus.RUNNING, only_from=RolloutStatus.SCHEDULED, actor=actor, now=now, started_at=now
        )
        for number, place_below in bounds_of(rollout, facts_of(Node.objects.active())).items():
            rollout.waves.filter(number=number).update(place_below=place_below)


def rollout_pause(*, rollout: Rollout, reason: PauseReason, actor: str, now: datetime, words: str = "") -> None:
    """Offer the release to nobody new, and tell nodes on the way to stay as they are; `words` are a person's own."""
    status_move(rollout, to=RolloutStatus.PAUSED, actor=actor, reason=words or reason, now=now, pause_reason=reason)


def rollout_resume(*, rollout: Rollout, actor: str, now: datetime) -> None:
    """Go on where the rollout was paused.

    Raises:
        ReleaseNotReady: the release, or its base, was revoked.
        WaveUndecided: a wave has failed, or waits for a person's word.
        BudgetSpent: more schools have failed than the rollout allows.
    """
    _offerable_expect(rollout)
    undecided = rollout.waves.filter(status__in=_UNDECIDED).order_by("number").first()
    if undecided is not None:
        raise WaveUndecided(wave=undecided.number, status=str(undecided.status))
    failed, allowed = failures_counted(rollout), failures_allowed(rollout)
    if failed > allowed:
        raise BudgetSpent(failed=failed, allowed=allowed)
    status_move(
        rollout, to=RolloutStatus.RUNNING, only_from=RolloutStatus.PAUSED, actor=actor, now=now, pause_reason=""
    )


def rollout_abort(*, rollout: Rollout, actor: str, reason: str, now: datetime) -> None:
    """End the rollout: nodes that have committed keep the release, the others stay as they are."""
    with transaction.atomic():
        status_move(
            rollout, to=RolloutStatus.ABORTED, actor=actor, reason=reason, now=now, pause_reason="", ended_at=now
        )
        _on_the_way_cancel(rollout, actor, now)


def rollout_roll_back(*, rollout: Rollout, actor: str, reason: str, now: datetime) -> None:
    """Send every node that has the release, or may have taken it since it was last heard, back to what it ran before.

    The director says so at the next contact and in the next letter on a stick, with no further action.
    """
    with transaction.atomic():
        status_move(
            rollout,
            to=RolloutStatus.ROLLING_BACK,
            actor=actor,
            reason=reason,
            now=now,
            pause_reason="",
            ended_at=None,
        )
        _on_the_way_cancel(rollout, actor, now)


def budget_raise(*, rollout: Rollout, failure_budget: int, actor: str, reason: str, now: datetime) -> None:
    """Allow the rollout more failures in all, on a person's word; it goes on when resumed.

    Raises:
        ReasonMissing: the audit needs to know why.
        BudgetSpent: as many have failed already.
        RoleReadsOnly, OutsideRegion: `actor` may not steer it.
    """
    steering_expect(actor=actor, rows=[rollout])
    if not reason.strip():
        raise ReasonMissing
    with transaction.atomic():
        locked = Rollout.objects.select_for_update(no_key=True).get(pk=rollout.pk)
        failed, old = failures_counted(locked), failures_allowed(locked)
        if failure_budget < failed:
            raise BudgetSpent(failed=failed, allowed=failure_budget)
        Rollout.objects.filter(pk=rollout.pk).update(failure_budget=failure_budget)
        entity = entity_of(rollout)
        audit_record(
            actor=actor, entity=entity, old=f"budget {old}", new=f"budget {failure_budget}", reason=reason, now=now
        )
    rollout.failure_budget = failure_budget


def wave_extend(*, wave: Wave, actor: str, now: datetime) -> None:
    """Give an inconclusive wave its deadline once more, counted from now; its rollout goes on when resumed."""
    status_move(
        wave,
        to=WaveStatus.OPEN,
        only_from=WaveStatus.INCONCLUSIVE,
        actor=actor,
        reason="extended",
        now=now,
        opened_at=now,
        soaking_since=None,
        ended_at=None,
        verdict_reason="extended",
    )


def wave_override(*, wave: Wave, actor: str, reason: str, now: datetime) -> None:
    """Let an inconclusive wave pass on a person's word.

    Raises:
        ReasonMissing: the audit needs to know why.
    """
    if not reason.strip():
        raise ReasonMissing
    status_move(
        wave,
        to=WaveStatus.PASSED,
        only_from=WaveStatus.INCONCLUSIVE,
        actor=actor,
        reason=reason,
        now=now,
        ended_at=now,
        verdict_reason="override",
    )


def _offerable_expect(rollout: Rollout) -> None:
    if not rollout.is_offerable:
        raise ReleaseNotReady(release=rollout.release.version, status=rollout.release.status)


def _on_the_way_cancel(rollout: Rollout, actor: str, now: datetime) -> None:
    on_the_way = list(rollout.assignments.on_the_way().locked())
    statuses_move(on_the_way, to=AssignmentStatus.CANCELLED, actor=actor, now=now, ended_at=now)
