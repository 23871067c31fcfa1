"""The terms of a round that are the same for all schools; each figure is a setting, none is a law."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What a RoundPlan asks of schools, and how the centre then combines what they hand in."""

    rank: int = 8
    learning_rate: float = 1e-4
    max_steps: int = 20
    stop_loss: float = 0.1
    """Beyond this the corrections gain nothing and unrelated answers begin to suffer (docs/decisions)."""
    min_labels: int = 1
    max_labels: int = 64
    max_norm: float = 1.0
    """Honest updates of one to three corrections come to 0.3 to 0.5."""
    server_scale: float = 0.75
    """Of the sum of unlike updates; a full sum was worse, the mean of two was too little."""
    minimum: int = 1
    """Updates without which a round that reaches its deadline is abandoned."""
    life: timedelta = timedelta(days=14)


DEFAULT_PLAN = PlanSettings()
