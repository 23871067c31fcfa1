"""How far a rollout has come, as its page shows it and asks for it again every few seconds.

Reads tables in a number of queries that does not depend on how many schools there are, and decides nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from central.rollouts.budget import failures_allowed
from central.rollouts.evidence import wave_counts
from central.rollouts.models import Rollout, Wave, WaveStatus
from central.rollouts.standing import standing_numbers
from central.rollouts.verdict import WaveCounts
from central.schools.reach import COUNTRY, Reach

JUDGED_NOW = (WaveStatus.OPEN, WaveStatus.SOAKING)
"""Waves whose figures are read anew; of these there is one at most, since each waits for the one before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveProgress:
    """Where the PCs of one wave stand."""

    wave: Wave
    numbers: Mapping[str, int]
    """By the names of `STANDINGS`: every PC is in exactly one of them."""
    counts: WaveCounts | None
    """What the wave is judged by; None where it is not judged now."""

    @property
    def total(self) -> int:
        """How many PCs the wave has."""
        return sum(self.numbers.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutProgress:
    """The waves of a rollout in their order, and its budget of failures."""

    waves: tuple[WaveProgress, ...]
    failed: int
    allowed: int


def rollout_progress(rollout: Rollout, *, now: datetime, reach: Reach = COUNTRY) -> RolloutProgress:
    """Return how far the rollout has come, as far as it touches `reach`.

    What a wave is judged by is of all its schools, and told to those alone whose reach holds them all.
    """
    is_whole = reach.holds([rollout])
    waves = list(rollout.waves.annotate(schools_count=Count("schools")).order_by("number"))
    by_wave: dict[int, Counter[str]] = {}
    rows = reach.rows(rollout.assignments.order_by()).values_list("wave", "status").annotate(number=Count("pk"))
    for wave_id, status, number in rows:
        by_wave.setdefault(wave_id, Counter())[status] = number
    shown = tuple(_progress(rollout, wave, by_wave.get(wave.pk, Counter()), now, is_whole=is_whole) for wave in waves)
    failed = sum(each.numbers["failed"] for each in shown)
    return RolloutProgress(waves=shown, failed=failed, allowed=failures_allowed(rollout))


def _progress(
    rollout: Rollout, wave: Wave, standing: Mapping[str, int], now: datetime, *, is_whole: bool
) -> WaveProgress:
    wave.rollout = rollout
    return WaveProgress(
        wave=wave,
        numbers=standing_numbers(standing),
        counts=wave_counts(wave, now=now) if is_whole and wave.status in JUDGED_NOW else None,
    )
