"""Judges a wave from its counts alone.

1. Only nodes that have been in contact since the offer count: silence is neither failure nor success.
2. Success is a node that has run the new release at its school and says so.
3. Failures end a wave as soon as there are too many; success must last for the soak time.
4. Too few reports by the deadline decide nothing: that is INCONCLUSIVE, and never goes on by itself.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta


class WaveOutcome(enum.Enum):
    """What the counts say."""

    OPEN = "open"
    SOAKING = "soaking"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveCounts:
    """How many nodes of the wave stand where; `contacted` are those that were offered the release in a contact."""

    contacted: int
    committed: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveRules:
    """A wave's thresholds, frozen when the rollout was made."""

    min_committed: int
    pass_share: float
    failures_allowed: int
    soak: timedelta
    deadline: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveVerdict:
    """The outcome, and a stable code that says why."""

    outcome: WaveOutcome
    reason: str


def wave_judge(
    *, counts: WaveCounts, rules: WaveRules, opened_at: datetime, soaking_since: datetime | None, now: datetime
) -> WaveVerdict:
    """Return what `counts` say of a wave that opened at `opened_at` and was good enough since `soaking_since`."""
    if counts.failed > rules.failures_allowed:
        return WaveVerdict(outcome=WaveOutcome.FAILED, reason="too_many_failures")
    if is_good_enough(counts, rules):
        if soaking_since is not None and now - soaking_since >= rules.soak:
            return WaveVerdict(outcome=WaveOutcome.PASSED, reason="enough_committed")
        return WaveVerdict(outcome=WaveOutcome.SOAKING, reason="soak_not_over")
    if now - opened_at >= rules.deadline:
        return WaveVerdict(outcome=WaveOutcome.INCONCLUSIVE, reason="too_few_reports")
    return WaveVerdict(outcome=WaveOutcome.OPEN, reason="waiting_for_reports")


def is_good_enough(counts: WaveCounts, rules: WaveRules) -> bool:
    """Tell whether enough of the contacted nodes have committed."""
    if counts.committed < max(rules.min_committed, 1):
        return False
    return counts.committed >= rules.pass_share * counts.contacted
