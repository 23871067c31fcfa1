"""What a person may do with a rollout as it stands now: each step, when it is legal, and the service that takes it.

The page of a rollout shows exactly these. Services refuse on their own account whatever has changed meanwhile.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext_noop as _

from central.rollouts.models import PauseReason, Rollout, RolloutStatus, Wave, WaveStatus
from central.rollouts.services import (
    budget_raise,
    rollout_abort,
    rollout_approve,
    rollout_pause,
    rollout_reject,
    rollout_resume,
    rollout_roll_back,
    rollout_start,
    rollout_submit,
    wave_extend,
    wave_override,
)


class StepName(enum.StrEnum):
    """A step, as its address names it."""

    SUBMIT = "submit"
    APPROVE = "approve"
    REJECT = "reject"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    BUDGET = "budget"
    EXTEND = "extend"
    OVERRIDE = "override"
    ROLL_BACK = "roll-back"
    ABORT = "abort"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWords:
    """What a step is called, what it will do, and what is said once it has been taken."""

    label: str
    explanation: str
    done: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTaken:
    """A step that a person takes: with `reason` in their own words, and a new budget where the step sets one."""

    rollout: Rollout
    wave: Wave | None
    actor: str
    reason: str
    failure_budget: int
    now: datetime


WORDS: Mapping[StepName, StepWords] = {
    StepName.SUBMIT: StepWords(
        label=_("Ask for approval"),
        explanation=_("A colleague looks at the plan and lets it start, or not. It cannot be changed after that."),
        done=_("The rollout awaits approval."),
    ),
    StepName.APPROVE: StepWords(
        label=_("Approve"),
        explanation=_("The rollout starts at its time, or at once where it has none."),
        done=_("The rollout is approved."),
    ),
    StepName.REJECT: StepWords(
        label=_("Reject"),
        explanation=_("The plan is turned down for good; no school gets anything."),
        done=_("The rollout is rejected."),
    ),
    StepName.START: StepWords(
        label=_("Start now"),
        explanation=_("The first wave opens within seconds, whatever time was planned."),
        done=_("The rollout has started."),
    ),
    StepName.PAUSE: StepWords(
        label=_("Pause"),
        explanation=_("Nobody new is offered the release, and schools on the way to it stay as they are."),
        done=_("The rollout is paused."),
    ),
    StepName.RESUME: StepWords(
        label=_("Resume"),
        explanation=_("The rollout goes on where it was paused."),
        done=_("The rollout is running again."),
    ),
    StepName.BUDGET: StepWords(
        label=_("Allow more failures"),
        explanation=_("More schools may fail before the rollout halts. It goes on only when you resume it."),
        done=_("The rollout may have more failures."),
    ),
    StepName.EXTEND: StepWords(
        label=_("Extend the deadline"),
        explanation=_("The wave gets its deadline once more, from now. The rollout goes on only when you resume it."),
        done=_("The wave is open again."),
    ),
    StepName.OVERRIDE: StepWords(
        label=_("Let it pass on my word"),
        explanation=_("The wave counts as passed, and the trail keeps who said so and why. Resume the rollout then."),
        done=_("The wave has passed."),
    ),
    StepName.ROLL_BACK: StepWords(
        label=_("Roll back"),
        explanation=_(
            "Every school that has the release returns to what it ran before, at its next contact or with the next "
            "stick."
        ),
        done=_("The rollout is being rolled back."),
    ),
    StepName.ABORT: StepWords(
        label=_("Abort"),
        explanation=_("The rollout ends where it stands: schools that run the release keep it, nobody else gets it."),
        done=_("The rollout is aborted."),
    ),
}

TAKES: Mapping[StepName, Callable[[StepTaken], None]] = {
    StepName.SUBMIT: lambda it: rollout_submit(rollout=it.rollout, actor=it.actor, now=it.now),
    StepName.APPROVE: lambda it: rollout_approve(rollout=it.rollout, approver=it.actor, now=it.now),
    StepName.REJECT: lambda it: rollout_reject(rollout=it.rollout, actor=it.actor, reason=it.reason, now=it.now),
    StepName.START: lambda it: rollout_start(rollout=it.rollout, actor=it.actor, now=it.now),
    StepName.PAUSE: lambda it: rollout_pause(
        rollout=it.rollout, reason=PauseReason.MANUAL, actor=it.actor, now=it.now, words=it.reason
    ),
    StepName.RESUME: lambda it: rollout_resume(rollout=it.rollout, actor=it.actor, now=it.now),
    StepName.BUDGET: lambda it: budget_raise(
        rollout=it.rollout, failure_budget=it.failure_budget, actor=it.actor, reason=it.reason, now=it.now
    ),
    StepName.EXTEND: lambda it: wave_extend(wave=_wave_of(it), actor=it.actor, now=it.now),
    StepName.OVERRIDE: lambda it: wave_override(wave=_wave_of(it), actor=it.actor, reason=it.reason, now=it.now),
    StepName.ROLL_BACK: lambda it: rollout_roll_back(rollout=it.rollout, actor=it.actor, reason=it.reason, now=it.now),
    StepName.ABORT: lambda it: rollout_abort(rollout=it.rollout, actor=it.actor, reason=it.reason, now=it.now),
}
WITH_REASON = frozenset(
    {StepName.REJECT, StepName.PAUSE, StepName.BUDGET, StepName.OVERRIDE, StepName.ROLL_BACK, StepName.ABORT}
)
"""Steps that ask why; of these `REASON_NEEDED` refuse an empty answer."""
REASON_NEEDED = frozenset({StepName.BUDGET, StepName.OVERRIDE})
OF_A_WAVE = frozenset({StepName.EXTEND, StepName.OVERRIDE})
DANGEROUS = frozenset({StepName.ROLL_BACK, StepName.ABORT, StepName.REJECT})


def _wave_of(taken: StepTaken) -> Wave:
    if taken.wave is None:
        message = "the step is of a wave"
        raise ValueError(message)
    return taken.wave


def steps_legal(
    rollout: Rollout, *, waves: Sequence[Wave], actor: str, failed: int, allowed: int
) -> tuple[tuple[StepName, Wave | None], ...]:
    """Return what `actor` may do now, in the order in which the page shows it; of a wave's steps, with the wave.

    `failed` and `allowed` are the failures counted and allowed in all.
    """
    status = RolloutStatus(rollout.status)
    if status is RolloutStatus.PAUSED:
        return _when_paused(rollout, waves, failed, allowed)
    names = list(_BY_STATUS.get(status, ()))
    if StepName.APPROVE in names and (actor == rollout.created_by or not rollout.is_offerable):
        names.remove(StepName.APPROVE)
    return tuple((name, None) for name in names)


_BY_STATUS: Mapping[RolloutStatus, tuple[StepName, ...]] = {
    RolloutStatus.DRAFT: (StepName.SUBMIT, StepName.ABORT),
    RolloutStatus.PENDING_APPROVAL: (StepName.APPROVE, StepName.REJECT, StepName.ABORT),
    RolloutStatus.SCHEDULED: (StepName.START, StepName.ABORT),
    RolloutStatus.RUNNING: (StepName.PAUSE, StepName.BUDGET, StepName.ROLL_BACK, StepName.ABORT),
    RolloutStatus.ROLLING_BACK: (StepName.ABORT,),
    RolloutStatus.COMPLETED: (StepName.ROLL_BACK,),
}


def _when_paused(
    rollout: Rollout, waves: Sequence[Wave], failed: int, allowed: int
) -> tuple[tuple[StepName, Wave | None], ...]:
    steps: list[tuple[StepName, Wave | None]] = []
    undecided = [wave for wave in waves if wave.status == WaveStatus.INCONCLUSIVE]
    # A wave that has failed stays failed: nothing leads on from there but back, or to an end.
    may_go_on = rollout.is_offerable and not any(wave.status == WaveStatus.FAILED for wave in waves)
    if may_go_on:
        steps += [(name, wave) for wave in undecided for name in (StepName.EXTEND, StepName.OVERRIDE)]
        if not undecided and failed <= allowed:
            steps.append((StepName.RESUME, None))
        steps.append((StepName.BUDGET, None))
    return (*steps, (StepName.ROLL_BACK, None), (StepName.ABORT, None))
