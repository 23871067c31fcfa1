"""The terms of a round that are the same for all schools; each figure is a setting, none is a law."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What a RoundPlan asks of schools, and how the centre then combines what they hand in."""

    rank: int = 64
    """Directions of x A; schools' corrections must fit into them side by side (federation.learning.aggregate)."""
    parts: tuple[str, ...] = ("o", "down")
    """Projections that learn, the two with the fewest outputs: at this rank 1.5 MB of adapter for the 270M."""
    learning_rate: float = 1e-4
    max_steps: int = 20
    stop_loss: float = 0.03
    """At 0.1 the one word that matters was often still second; lower gains nothing (docs/decisions)."""
    min_labels: int = 1
    max_labels: int = 64
    max_norm: float = 2.0
    """Honest updates of one or two corrections come to 0.4 to 0.6."""
    server_scale: float = 0.85
    """Multiplies the fused update: below 0.75 greedy answers lose names, at 1 prose suffers (docs/decisions/0008)."""
    minimum: int = 1
    """Updates without which a round that reaches its deadline is abandoned."""
    life: timedelta = timedelta(days=14)


DEFAULT_PLAN = PlanSettings()
