"""The terms of a season that are the same for all schools; each figure is a setting, none is a law."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.scheme import Fusion
from federation.wire.rounds import Factor, Objective, Precision, SchemeName

LEAST_DAYS, ROUND_DAYS = 4, 14
"""Of a new season's rounds. Four adapters behind is then 16 days, which schools that come weekly never are (0058)."""
CORRECTIONS_ONLY = Objective(preference=0.0, ratings=0.0, beta=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NaturalTerms:
    """Natural steps at schools (federation.learning.local_steps), and the server's step that belongs to them."""

    steps: int
    longest: float
    """L2 norm of each at most."""
    server_length: float
    """Of the server's step: schools' steps point apart, so what they add up to is the shorter the more they are."""
    hold: float
    """What the centre's own part weighs beside all schools together (federation.learning.hold)."""
    full_rounds: int = 0
    """Rounds whose server's step is that long; behind them round t's is full_rounds/t of it. 0: it never shortens."""

    def length_after(self, adopted: int) -> float:
        """Return how long the server's step is once a season has adopted so many adapters.

        Steps of one length go on past what is left to learn, and take it out of the rest of the model. Steps that fall
        as 1/t still lead anywhere, and their noise dies out (Robbins and Monro 1951).
        """
        return self.server_length * (min(1.0, self.full_rounds / (adopted + 1)) if self.full_rounds else 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTerms:
    """What a plan says of a school's steps (federation.wire.rounds.RoundPlan)."""

    max_steps: int
    longest_step: float
    """0: Adam's steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What a season's plans ask of schools, and how its rounds then combine what they hand in.

    A season keeps its settings; one that was opened before a setting existed has the value that stands here, which is
    what its rounds did then. What a new season gets is `plan_settings`.
    """

    rank: int = 64
    """Of the adapter that ships, and of updates unless `directions` says more."""
    directions: int = 0
    """Directions of x A in which schools learn under FFA-LoRA; 0: as many as the adapter has. Schools' corrections must
    fit into them side by side (federation.learning.schemes); the adapter is then cut to its rank."""
    parts: tuple[str, ...] = ("o", "down")
    """Projections that learn, the two with the fewest outputs: at this rank 1.5 MB of adapter for the 270M."""
    layers_share: float = 1.0
    """Share of the layers that learn, the uppermost; below them a school needs no backward pass."""
    precision: Precision = Precision.FLOAT16
    fusion: Fusion = Fusion.LEAST_SQUARES
    """How a scheme whose A is frozen is added up."""
    ridge: float = 0.1
    """How firmly least squares pulls directions that no school looked at towards the weighted mean, and natural steps
    towards the plain gradient."""
    objective: Objective = CORRECTIONS_ONLY
    learning_rate: float = 1e-4
    max_steps: int = 20
    natural: NaturalTerms | None = None
    """Where the scheme has Gram matrices; elsewhere, and without, schools take Adam's steps."""
    stop_loss: float = 0.03
    """At 0.1 the one word that matters was often still second; lower gains nothing (docs/decisions)."""
    min_labels: int = 1
    max_labels: int = 64
    max_norm: float = 2.0
    """Honest updates of one or two corrections come to 0.4 to 0.6."""
    server_scale: float = 0.85
    """Multiplies the fused update of Adam's steps: below 0.75 greedy answers lose names, at 1 prose suffers (0008)."""
    momentum: float = 0.0
    """Share of the season's last step that is taken again; 0: each round stands alone."""
    max_staleness: int = 4
    """An update is refused once so many adapters of the season more were adopted since the start of its plan."""
    minimum: int = 1
    """Updates without which a round that reaches its deadline goes on collecting."""
    least_days: int = 0
    """How long a round collects at least. A cap in adapters is one in weeks only where adapters come by the week."""
    round_days: int = ROUND_DAYS
    plan_days: int = 60
    """How long training may begin on a plan; then schools that still run its start are asked anew."""

    def rank_of(self, scheme: SchemeName) -> int:
        """Return the rank of the updates of a season of `scheme`."""
        return self.directions or self.rank if scheme is SchemeName.FFA_LORA else self.rank

    def natural_of(self, scheme: SchemeName) -> NaturalTerms | None:
        """Return what natural steps a season of `scheme` takes; None where it takes Adam's."""
        return self.natural if Factor.GRAM in scheme_of(scheme).factors else None

    def steps_of(self, scheme: SchemeName) -> StepTerms:
        """Return the steps that a school takes in a season of `scheme`."""
        natural = self.natural_of(scheme)
        if natural is None:
            return StepTerms(max_steps=self.max_steps, longest_step=0.0)
        return StepTerms(max_steps=natural.steps, longest_step=natural.longest)

    def scale_of(self, scheme: SchemeName, *, norm: float, adopted: int) -> float:
        """Return what a combined update of this L2 norm is multiplied by where a season has `adopted` adapters."""
        natural = self.natural_of(scheme)
        if natural is None:
            return self.server_scale
        return natural.length_after(adopted) / norm if norm > 0 else 0.0

    def slots_of(self, slots: Iterable[str]) -> tuple[str, ...]:
        """Return those of a base's `slots`, `layers.{i}.{part}`, that learn, in their order."""
        named = list(slots)
        layers = 1 + max((_layer(slot) for slot in named), default=0)
        # A third of 18 may come out a hair above 6.
        first = layers - math.ceil(round(self.layers_share * layers, 6))
        return tuple(slot for slot in named if slot.rpartition(".")[2] in self.parts and _layer(slot) >= first)


def _layer(slot: str) -> int:
    return int(slot.split(".")[1])


NATURAL_PLAN = PlanSettings(
    directions=256,
    parts=("down",),
    layers_share=1 / 3,
    precision=Precision.INT8,
    ridge=0.003,
    natural=NaturalTerms(steps=1, longest=4.0, server_length=0.5, hold=1.0, full_rounds=6),
    max_norm=4.0,
)
"""Many schools learn side by side, round after round, and prose stays (docs/decisions/0119, 0120, 0129)."""
ADAM_PLAN = PlanSettings()
"""A handful of corrections is learnt by heart in one round, at a price in prose (0008)."""


class StepsChoice(StrEnum):
    """How schools learn in a new season."""

    NATURAL = "natural"
    ADAM = "adam"


def plan_settings(*, steps: StepsChoice, fusion: Fusion, least_days: int = LEAST_DAYS) -> PlanSettings:
    """Return what a new season's plans ask.

    Natural steps are one step on all labels together only where least squares adds them up; beside the mean schools
    take Adam's in any case.
    """
    is_natural = steps is StepsChoice.NATURAL and fusion is Fusion.LEAST_SQUARES
    return replace(NATURAL_PLAN if is_natural else ADAM_PLAN, fusion=fusion, least_days=least_days)
