"""Runs what is compared: seasons of the same schools, each school alone, and one training on all data."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from federation.basis import AdapterFactors
from federation.learning.modes.accounting import epsilon_spent
from federation.learning.modes.mode import PrivateTerms
from federation.learning.modes.private import private_delta
from federation.learning.modes.robust import robust_delta
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution, Delta, contribution_clip, contribution_weight
from federation.learning.schemes.scheme import Fusion, Terms, terms_of
from federation.learning.schemes.server import server_step
from federation.learning.update import update_read
from federation.wire.canonical import canonical_bytes
from federation.wire.rounds import Factor, RoundPlan, SchemeName
from tests.benchmarks.labels.label_set import Label, Split
from tests.benchmarks.learning.arms import SHARE_POISONED, Arm, PrivateArm, Settings
from tests.benchmarks.learning.base import Base, Scores
from tests.benchmarks.learning.kept import Kept, digest_of, trainer_digest
from tests.benchmarks.learning.plans import OWN_A_STEP, adapter_digest, plan_central, plan_make
from tests.benchmarks.learning.schools import School

POISON = -100.0
DELTA = 1e-5
CENTRAL = "central"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """How both held-out parts fare under one adapter."""

    reworded: Scores
    untaught: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One training's update as the centre reads it."""

    contribution: Contribution
    size_bytes: int
    steps: int
    seconds: float


class Trial:
    """One run of the benchmark over one base and one deal of the labels."""

    def __init__(
        self,
        *,
        settings: Settings,
        base: Base,
        kept: Kept,
        schools: Sequence[School],
        held_out: Mapping[Split, Sequence[Label]],
        say: Callable[[str], None],
    ) -> None:
        """Nothing is trained yet; `say` gets a line about each thing that took time."""
        self.settings, self.schools, self.say = settings, schools, say
        self._base, self._kept, self._held_out = base, kept, held_out
        self._trainer = trainer_digest()

    def season(self, arm: Arm) -> list[AdapterFactors]:
        """Return the season's adapters, one a round."""
        adapters: list[AdapterFactors] = []
        velocity: Delta | None = None
        for version in range(arm.rounds):
            start = adapters[-1] if adapters else None
            plan = self.plan(arm.scheme, version, start)
            terms = terms_of(plan, self._base.sizes, arm.fusion)
            self.say(f"{arm.name}, round {version + 1} of {arm.rounds}")
            step = server_step(
                scheme=scheme_of(arm.scheme),
                terms=terms,
                start=start,
                velocity=velocity,
                delta=self._combined(arm, plan, terms, start),
                size=arm.size,
                decay=self.settings.plan.momentum,
            )
            adapters.append(step.adapter)
            velocity = step.velocity
        return adapters

    def private(self, arm: PrivateArm) -> tuple[AdapterFactors, float]:
        """Return the adapter of one round under noise, and the ε that it costs each school.

        A country in which `crowd` schools taught what each one here teaches would have `crowd` times the sum under the
        same noise; that is this sum under noise so many times weaker.
        """
        settings = self.settings
        plan = self.plan(arm.scheme, 0, None)
        terms = terms_of(plan, self._base.sizes, Fusion.MEAN)
        contributions = [trained.contribution for trained in self.trained(plan, None)]
        weights = [contribution_weight(each, max_labels=settings.private_labels) for each in contributions]
        outcome = private_delta(
            contributions,
            school_by_node={school.name: school.name for school in self.schools},
            shapes=scheme_of(arm.scheme).shapes_under(terms),
            terms=PrivateTerms(
                noise_multiplier=arm.noise_multiplier / arm.crowd, labels_expected=sum(weights), delta=DELTA
            ),
            max_norm=settings.private_norm,
            max_labels=settings.private_labels,
            rng=np.random.default_rng(settings.seed),
        )
        adapter = scheme_of(arm.scheme).step(terms, None, outcome.delta, settings.private_size)
        return adapter, epsilon_spent((arm.noise_multiplier,), delta=DELTA)

    def alone(self) -> Iterator[AdapterFactors]:
        """Yield for each school the adapter of its own first update and nobody else's."""
        plan = self.plan(SchemeName.FFA_LORA, 0, None)
        for trained in self.trained(plan, None):
            yield self._applied(plan, trained.contribution)

    def central(self) -> AdapterFactors:
        """Return the adapter of one training on all data, as many looks at corrections as the default season's."""
        plan = self.plan(SchemeName.FFA_LORA, 0, None)
        labels = [label for school in self.schools for label in school.labels]
        random.Random(self.settings.seed).shuffle(labels)
        looks = self.settings.rounds * sum(self._looks(plan))
        everything = School(name=CENTRAL, region="", labels=tuple(labels))
        central = plan_central(plan, looks=looks, schools=len(self.schools))
        return self._applied(central, self._trained(central, None, everything).contribution)

    def trained(self, plan: RoundPlan, start: AdapterFactors | None) -> Iterator[Trained]:
        """Yield every school's training for `plan`, one at a time."""
        for number, school in enumerate(self.schools, start=1):
            trained = self._trained(plan, start, school)
            self.say(
                f"  {plan.plan_id}: school {number} of {len(self.schools)}, {trained.contribution.labels} labels, "
                f"{trained.steps} steps in {trained.seconds:.0f} s"
            )
            yield trained

    def plan(self, scheme: SchemeName, version: int, start: AdapterFactors | None) -> RoundPlan:
        """Return the plan of a season of `scheme` for schools that run `start`."""
        return plan_make(self.settings.plan, self._base, scheme=scheme, version=version, start=start)

    def examine(self, adapter: AdapterFactors | None) -> Examined:
        """Return how the held-out labels fare under `adapter`, or under the base alone."""
        plan = self.plan(SchemeName.FFA_LORA, 0, None)
        name = "" if adapter is None else adapter_digest(adapter)

        def part(split: Split) -> Scores:
            labels = self._held_out[split]
            key = digest_of(self._trainer, self._base.digest.encode(), name.encode(), _bytes(labels))
            make = lambda: asdict(self._base.examine(plan=plan, adapter=adapter, labels=labels))  # noqa: E731
            return Scores(**self._kept.figures("examinations", key, make))

        return Examined(reworded=part(Split.REWORDED), untaught=part(Split.UNTAUGHT))

    def _combined(self, arm: Arm, plan: RoundPlan, terms: Terms, start: AdapterFactors | None) -> Delta:
        accumulator = scheme_of(arm.scheme).accumulator(terms)
        contributions = self._contributions(arm, plan, start)
        if arm.robust is not None:
            return robust_delta(
                list(contributions),
                region_by_node={school.name: school.region for school in self.schools},
                terms=arm.robust,
                max_norm=plan.max_norm,
                max_labels=plan.max_labels,
                accumulator=accumulator,
            ).delta
        for contribution in contributions:
            weight = contribution_weight(contribution, max_labels=plan.max_labels)
            accumulator.add(contribution_clip(contribution, max_norm=plan.max_norm), weight)
        return accumulator.result()

    def _contributions(self, arm: Arm, plan: RoundPlan, start: AdapterFactors | None) -> Iterator[Contribution]:
        poisoned = poisoned_names(self.schools) if arm.is_poisoned else frozenset()
        for trained in self.trained(plan, start):
            own = trained.contribution
            yield poison(own) if own.node_id in poisoned else own

    def _looks(self, plan: RoundPlan) -> Iterator[int]:
        for school, trained in zip(self.schools, self.trained(plan, None), strict=True):
            corrections = sum(bool(label.correction) for label in school.labels)
            yield trained.steps * min(OWN_A_STEP, corrections)

    def _applied(self, plan: RoundPlan, contribution: Contribution) -> AdapterFactors:
        terms = terms_of(plan, self._base.sizes)
        delta = {name: array.astype(np.float64) for name, array in contribution.arrays.items()}
        return scheme_of(plan.scheme).step(terms, None, delta, 1.0)

    def _trained(self, plan: RoundPlan, start: AdapterFactors | None, school: School) -> Trained:
        key = digest_of(self._trainer, canonical_bytes(plan), school.name.encode(), _bytes(school.labels))

        def make() -> bytes:
            started = time.monotonic()
            content = self._base.learn(
                plan=plan, start=start, labels=school.labels, name=school.name, on_step=lambda step: None
            )
            self._kept.content("seconds", key, lambda: str(time.monotonic() - started).encode())
            return content

        content = self._kept.content("updates", key, make)
        header, arrays = update_read(content, precision=plan.precision)
        contribution = Contribution(node_id=school.name, labels=header.labels, staleness=0, arrays=arrays)
        seconds = float(self._kept.content("seconds", key, lambda: b"nan"))
        return Trained(contribution=contribution, size_bytes=len(content), steps=header.steps, seconds=seconds)


def poisoned_names(schools: Sequence[School]) -> frozenset[str]:
    """Return which schools send poison: the last of each region's, as many as the robust mode foresees."""
    names: set[str] = set()
    for region in {school.region for school in schools}:
        own = [school.name for school in schools if school.region == region]
        names |= set(own[len(own) - math.floor(SHARE_POISONED * len(own)) :])
    return frozenset(names)


def poison(contribution: Contribution) -> Contribution:
    """Return `contribution` back to front and a hundred times as long; what it says of its questions stays."""
    arrays = {
        (slot, factor): array if factor is Factor.GRAM else array * np.float32(POISON)
        for (slot, factor), array in contribution.arrays.items()
    }
    return replace(contribution, arrays=arrays)


def _bytes(labels: Sequence[Label]) -> bytes:
    return json.dumps([asdict(label) for label in labels], ensure_ascii=False).encode()
