"""The plans that the schools of the benchmark answer, and what names an adapter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from central.training.anchors import anchors_read
from central.training.plan_settings import PlanSettings
from federation.basis import AdapterFactors
from federation.wire.rounds import RoundPlan, SchemeName
from tests.benchmarks.learning.base import MADE_AT
from tests.benchmarks.learning.kept import digest_of

SEASON = "learning-benchmark"
CENTRAL_RATE, CENTRAL_STEPS = 2e-4, 120
"""At 90 steps it had gained 0.95 of what it gained at 120 (docs/decisions/0069)."""


def plan_make(
    settings: PlanSettings,
    *,
    base: str,
    slots: Iterable[str],
    scheme: SchemeName,
    version: int,
    start: AdapterFactors | None,
) -> RoundPlan:
    """Return what every school is asked that runs `start`, the season's adapter number `version`.

    `base` is what names the base, and `slots` are all of its slots.
    """
    # From the base alone both train the same fresh pair, so one training serves both.
    trained = SchemeName.FEDIT if scheme is SchemeName.FLORA and start is None else scheme
    steps = settings.steps_of(trained)
    return RoundPlan(
        plan_id=f"{SEASON}-{trained.value}-{version}",
        season_id=SEASON,
        version=version,
        base=base,
        start="" if start is None else adapter_digest(start),
        scheme=trained,
        precision=settings.precision,
        objective=settings.objective,
        seed=SEASON,
        rank=settings.rank_of(trained),
        slots=settings.slots_of(slots),
        learning_rate=settings.learning_rate,
        longest_step=steps.longest_step,
        ridge=settings.ridge,
        max_steps=steps.max_steps,
        stop_loss=settings.stop_loss,
        anchors=() if steps.longest_step > 0 else anchors_read(),
        min_labels=settings.min_labels,
        max_labels=settings.max_labels,
        max_norm=settings.max_norm,
        issued_at=MADE_AT,
        closes_at=MADE_AT,
    )


def plan_central(plan: RoundPlan, *, schools: int) -> RoundPlan:
    """Return `plan` for one training on all data, for as long as that gains: by Adam, and clipped by nothing.

    It does not get shorter when schools need fewer steps, so that thrift does not lower what rounds are held against.
    """
    return replace(
        plan,
        plan_id=f"{plan.plan_id}-central",
        longest_step=0.0,
        anchors=anchors_read(),
        learning_rate=CENTRAL_RATE,
        max_steps=CENTRAL_STEPS,
        max_norm=plan.max_norm * schools,
    )


def adapter_digest(adapter: AdapterFactors) -> str:
    """Return what names the adapter: a digest of its factors."""
    factors = [("b", adapter.b), ("a", adapter.a or {})]
    return digest_of(
        *(letter.encode() + slot.encode() + by_slot[slot].tobytes() for letter, by_slot in factors for slot in by_slot)
    )
