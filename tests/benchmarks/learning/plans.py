"""The plans that the schools of the benchmark answer, and what names an adapter."""

from __future__ import annotations

from dataclasses import replace

from central.training.anchors import anchors_read
from central.training.plan_settings import PlanSettings
from federation.basis import AdapterFactors
from federation.wire.rounds import RoundPlan, SchemeName
from tests.benchmarks.learning.base import MADE_AT, Base
from tests.benchmarks.learning.kept import digest_of

SEASON = "learning-benchmark"
OWN_A_STEP = 8


def plan_make(
    settings: PlanSettings, base: Base, *, scheme: SchemeName, version: int, start: AdapterFactors | None
) -> RoundPlan:
    """Return what every school is asked that runs `start`, the season's adapter number `version`."""
    # From the base alone both train the same fresh pair, so one training serves both.
    trained = SchemeName.FEDIT if scheme is SchemeName.FLORA and start is None else scheme
    return RoundPlan(
        plan_id=f"{SEASON}-{trained.value}-{version}",
        season_id=SEASON,
        version=version,
        base=base.digest,
        start="" if start is None else adapter_digest(start),
        scheme=trained,
        precision=settings.precision,
        objective=settings.objective,
        seed=SEASON,
        rank=settings.rank,
        slots=tuple(slot for slot in base.sizes if slot.rpartition(".")[2] in settings.parts),
        learning_rate=settings.learning_rate,
        max_steps=settings.max_steps,
        stop_loss=settings.stop_loss,
        anchors=anchors_read(),
        min_labels=settings.min_labels,
        max_labels=settings.max_labels,
        max_norm=settings.max_norm,
        issued_at=MADE_AT,
        closes_at=MADE_AT,
    )


def plan_central(plan: RoundPlan, *, looks: int, schools: int) -> RoundPlan:
    """Return `plan` for one training on all data that looks as often at corrections as all schools together did.

    Nothing clips it to the length that one school may have.
    """
    return replace(
        plan,
        plan_id=f"{plan.plan_id}-central",
        max_steps=max(1, round(looks / OWN_A_STEP)),
        max_norm=plan.max_norm * schools,
    )


def adapter_digest(adapter: AdapterFactors) -> str:
    """Return what names the adapter: a digest of its factors."""
    factors = [("b", adapter.b), ("a", adapter.a or {})]
    return digest_of(
        *(letter.encode() + slot.encode() + by_slot[slot].tobytes() for letter, by_slot in factors for slot in by_slot)
    )
