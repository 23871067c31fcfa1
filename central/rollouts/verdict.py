"""Judges a wave from its counts and its ratings alone.

1. Only nodes that have been in contact again since the offer count: silence is neither failure nor success, and a
   school that comes once a week has a week to come back and say how it went.
2. Success is a node that has run the new release at its school and says so. Of a wave that is smaller than the least
   number asked for, the same share must succeed as of those in contact: it can never bring more.
3. Failures end a wave as soon as there are too many; success must last for the soak time.
4. Ratings that have surely got worse, and schools that fell silent as they never do, stop it until a person decides.
5. Too few reports by the deadline decide nothing: that is INCONCLUSIVE, and never goes on by itself. A wave whose
   schools, by their own rhythm, cannot have come yet waits for them, up to the deadline once more.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from central.rollouts.quality import QualityOutcome

SILENT_AT_LEAST = 3
"""Fewer are a power cut in one street."""


class WaveOutcome(enum.Enum):
    """What the counts say."""

    OPEN = "open"
    SOAKING = "soaking"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveCounts:
    """How many nodes of the wave stand where."""

    nodes: int
    """Have a part in the wave, and were not taken out of it."""
    contacted: int
    """Were offered the release, and have been in contact again since or should have been by their rhythm."""
    committed: int
    failed: int
    silent: int = 0
    """Of those that were offered it, how many have been away for longer than they ever are."""
    awaited: int = 0
    """Have had no occasion to report yet, and by their rhythm are not to be expected yet."""
    fresh: int = 0
    """Were offered it in their newest contact and are not due again: they are not among the contacted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveRules:
    """A wave's thresholds, frozen when the rollout was made."""

    min_committed: int
    pass_share: float
    failures_allowed: int
    soak: timedelta
    deadline: timedelta
    silent_share: float = 0.25
    """Of those that were offered it, that may fall silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveVerdict:
    """The outcome, and a stable code that says why."""

    outcome: WaveOutcome
    reason: str


def wave_judge(
    *,
    counts: WaveCounts,
    rules: WaveRules,
    opened_at: datetime,
    soaking_since: datetime | None,
    now: datetime,
    quality: QualityOutcome = QualityOutcome.UNKNOWN,
) -> WaveVerdict:
    """Return what is to be said of a wave that opened at `opened_at` and was good enough since `soaking_since`."""
    if counts.failed > rules.failures_allowed:
        return WaveVerdict(outcome=WaveOutcome.FAILED, reason="too_many_failures")
    if quality is QualityOutcome.WORSE:
        return WaveVerdict(outcome=WaveOutcome.INCONCLUSIVE, reason="ratings_worse")
    if counts.silent >= SILENT_AT_LEAST and counts.silent > rules.silent_share * (counts.contacted + counts.fresh):
        return WaveVerdict(outcome=WaveOutcome.INCONCLUSIVE, reason="schools_fell_silent")
    if is_good_enough(counts, rules):
        if soaking_since is not None and now - soaking_since >= rules.soak:
            return WaveVerdict(outcome=WaveOutcome.PASSED, reason="enough_committed")
        return WaveVerdict(outcome=WaveOutcome.SOAKING, reason="soak_not_over")
    return _unfinished(counts, rules, now - opened_at)


def _unfinished(counts: WaveCounts, rules: WaveRules, age: timedelta) -> WaveVerdict:
    if age < rules.deadline:
        return WaveVerdict(outcome=WaveOutcome.OPEN, reason="waiting_for_reports")
    if counts.awaited and age < 2 * rules.deadline:
        return WaveVerdict(outcome=WaveOutcome.OPEN, reason="schools_not_due")
    return WaveVerdict(outcome=WaveOutcome.INCONCLUSIVE, reason="too_few_reports")


def is_good_enough(counts: WaveCounts, rules: WaveRules) -> bool:
    """Tell whether enough of the contacted nodes have committed."""
    return counts.committed >= committed_needed(counts, rules)


def committed_needed(counts: WaveCounts, rules: WaveRules) -> int:
    """Return how many nodes must have committed for the wave to be good enough."""
    at_least = min(rules.min_committed, _share_of(counts.nodes, rules))
    return max(at_least, 1, _share_of(counts.contacted, rules))


def _share_of(nodes: int, rules: WaveRules) -> int:
    # Before it is rounded up: 0.55 times 100 is a little more than 55.
    return math.ceil(round(rules.pass_share * nodes, 6))
