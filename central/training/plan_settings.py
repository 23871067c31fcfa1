"""The terms of a season that are the same for all schools; each figure is a setting, none is a law."""

from __future__ import annotations

from dataclasses import dataclass

from federation.learning.schemes.scheme import Fusion
from federation.wire.rounds import Objective, Precision

CORRECTIONS_ONLY = Objective(preference=0.0, ratings=0.0, beta=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What a season's plans ask of schools, and how its rounds then combine what they hand in."""

    rank: int = 64
    """Directions of x A; schools' corrections must fit into them side by side (federation.learning.schemes)."""
    parts: tuple[str, ...] = ("o", "down")
    """Projections that learn, the two with the fewest outputs: at this rank 1.5 MB of adapter for the 270M."""
    precision: Precision = Precision.FLOAT16
    fusion: Fusion = Fusion.LEAST_SQUARES
    """How a scheme whose A is frozen is added up."""
    objective: Objective = CORRECTIONS_ONLY
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
    momentum: float = 0.0
    """Share of the season's last step that is taken again; 0: each round stands alone."""
    max_staleness: int = 4
    """An update is refused once so many adapters of the season more were adopted since the start of its plan."""
    minimum: int = 1
    """Updates without which a round that reaches its deadline goes on collecting."""
    round_days: int = 14
    plan_days: int = 60
    """How long training may begin on a plan; then schools that still run its start are asked anew."""


DEFAULT_PLAN = PlanSettings()
