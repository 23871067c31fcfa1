"""The terms of a rollout as they are asked for, beside its release and its waves. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time

from central.rollouts.quality import QualityRules
from central.rollouts.targeting import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutTerms:
    """Whom the rollout is for, how schools change over, and what halts it."""

    target: Target = field(default_factory=Target)
    is_rollback: bool = False
    """It brings an older release, which has run at schools before."""
    is_forced: bool = False
    """Schools do not wait for their hours."""
    activates_at: datetime | None = None
    """Until then schools only fetch."""
    window: tuple[time, time] | None = None
    """The hours, by the school's own clock, in which it changes over; they may lie across midnight."""
    failure_budget: int | None = None
    """In all; None: as many as the open waves allow together."""
    quality: QualityRules = field(default_factory=lambda: QualityRules(margin=0.05, min_ratings=30))
