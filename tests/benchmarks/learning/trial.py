"""What one run compares: seasons of the same schools, each school alone, and one training on all data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from federation.basis import AdapterFactors
from federation.learning.aggregate import aggregate
from federation.learning.modes.accounting import epsilon_spent
from federation.learning.modes.mode import PrivateTerms
from federation.learning.modes.private import private_delta
from federation.learning.modes.robust import robust_delta
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution, Delta, Hold, contribution_weight
from federation.learning.schemes.scheme import Fusion, Terms, terms_of
from federation.learning.schemes.server import server_step
from federation.wire.rounds import Factor, RoundPlan, SchemeName
from tests.benchmarks.labels.label_set import Label, Split
from tests.benchmarks.learning.arms import SHARE_POISONED, Arm, PrivateArm, Settings
from tests.benchmarks.learning.base import Base, Scores
from tests.benchmarks.learning.kept import Kept, digest_of, trainer_digest
from tests.benchmarks.learning.plans import adapter_digest
from tests.benchmarks.learning.schools import School
from tests.benchmarks.learning.shipping import adapter_rank, adapter_ship
from tests.benchmarks.learning.trainings import Trainings, labels_bytes

POISON = -100.0
DELTA = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """How both held-out parts fare under one adapter."""

    reworded: Scores
    untaught: Scores
    perplexity: Mapping[str, float]
    """Of the gate's prose, by language."""


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
        prose: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        """Nothing is trained yet; `say` gets a line about whatever takes time."""
        self.settings, self.schools, self.say = settings, schools, say
        self.trainings = Trainings(settings=settings, base=base, kept=kept, schools=schools, say=say)
        self._base, self._kept, self._held_out, self._prose = base, kept, held_out, prose
        self._examiner = trainer_digest()

    def season(self, arm: Arm) -> list[AdapterFactors]:
        """Return the season's adapters, one a round."""
        adapters: list[AdapterFactors] = []
        velocity: Delta | None = None
        for version in range(arm.rounds):
            start = adapters[-1] if adapters else None
            plan = self.trainings.plan(arm.scheme, version, start)
            terms = self._terms(plan, arm.fusion)
            scheme, delta = scheme_of(arm.scheme), self._combined(arm, plan, terms, start)
            scale = self.settings.plan.scale_of(arm.scheme, norm=scheme.norm(delta), adopted=version)
            step = server_step(
                scheme=scheme,
                terms=terms,
                start=start,
                velocity=velocity,
                delta=delta,
                size=scale if arm.size is None else arm.size,
                decay=self.settings.plan.momentum,
            )
            adapters.append(adapter_ship(plan, step.adapter).factors)
            velocity = step.velocity
        return adapters

    def private(self, arm: PrivateArm) -> tuple[AdapterFactors, float]:
        """Return the adapter of one round under noise, and the ε that it costs each school.

        A country in which `crowd` schools taught what each one here teaches would have `crowd` times the sum under the
        same noise; that is this sum under noise so many times weaker.
        """
        settings, scheme = self.settings, scheme_of(arm.scheme)
        plan = self.trainings.plan(arm.scheme, 0, None)
        terms = self._terms(plan, Fusion.MEAN)
        contributions = [trained.contribution for trained in self.trainings.every(plan, None)]
        weights = [contribution_weight(each, max_labels=settings.private_labels) for each in contributions]
        outcome = private_delta(
            contributions,
            school_by_node={school.name: school.name for school in self.schools},
            shapes=scheme.shapes_under(terms),
            terms=PrivateTerms(
                noise_multiplier=arm.noise_multiplier / arm.crowd, labels_expected=sum(weights), delta=DELTA
            ),
            max_norm=settings.private_norm,
            max_labels=settings.private_labels,
            rng=np.random.default_rng(settings.seed),
        )
        adapter = scheme.step(terms, None, outcome.delta, settings.private_size)
        return adapter_ship(plan, adapter).factors, epsilon_spent((arm.noise_multiplier,), delta=DELTA)

    def alone(self) -> Iterator[AdapterFactors]:
        """Yield for each school the adapter of its own first update and nobody else's."""
        plan = self.trainings.plan(SchemeName.FFA_LORA, 0, None)
        for trained in self.trainings.every(plan, None):
            yield self._applied(plan, trained.contribution)

    def central(self) -> AdapterFactors:
        """Return the adapter of one training on all data."""
        plan, trained = self.trainings.central()
        return self._applied(plan, trained.contribution)

    def examine(self, adapter: AdapterFactors | None) -> Examined:
        """Return how the held-out labels fare under `adapter`, or under the base alone."""
        return Examined(
            reworded=self.examine_reworded(adapter),
            untaught=self._scores(adapter, self._held_out[Split.UNTAUGHT]),
            perplexity=self._perplexity(adapter),
        )

    def examine_reworded(self, adapter: AdapterFactors | None) -> Scores:
        """Return how the questions fare that schools learnt in other words; gains are measured on them."""
        return self._scores(adapter, self._held_out[Split.REWORDED])

    def _scores(self, adapter: AdapterFactors | None, labels: Sequence[Label]) -> Scores:
        def examine() -> dict[str, float]:
            return asdict(self._base.examine(plan=self._plan_of(adapter), adapter=adapter, labels=labels))

        return Scores(**self._kept.figures("examinations", self._key(adapter, labels_bytes(labels)), examine))

    def _perplexity(self, adapter: AdapterFactors | None) -> dict[str, float]:
        def read() -> dict[str, float]:
            plan = self._plan_of(adapter)
            return {
                language: self._base.perplexity(plan=plan, adapter=adapter, text=text)
                for language, text in self._prose.items()
            }

        return self._kept.figures("prose", self._key(adapter, *(text.encode() for text in self._prose.values())), read)

    def _plan_of(self, adapter: AdapterFactors | None) -> RoundPlan:
        plan = self.trainings.plan(SchemeName.FFA_LORA, 0, None)
        return plan if adapter is None else replace(plan, rank=adapter_rank(adapter), slots=tuple(adapter.b))

    def _key(self, adapter: AdapterFactors | None, *looked_at: bytes) -> str:
        name = "" if adapter is None else adapter_digest(adapter)
        return digest_of(self._examiner, self._base.digest.encode(), name.encode(), *looked_at)

    def _terms(self, plan: RoundPlan, fusion: Fusion = Fusion.LEAST_SQUARES) -> Terms:
        return terms_of(plan, self._base.sizes, fusion, adapter_rank=self.settings.plan.rank)

    def _combined(self, arm: Arm, plan: RoundPlan, terms: Terms, start: AdapterFactors | None) -> Delta:
        scheme, contributions = scheme_of(arm.scheme), self._contributions(arm, plan, start)
        hold = self._hold(arm, plan, start)
        if arm.robust is not None:
            return robust_delta(
                list(contributions),
                region_by_node={school.name: school.region for school in self.schools},
                terms=arm.robust,
                max_norm=plan.max_norm,
                max_labels=plan.max_labels,
                accumulator=scheme.accumulator(terms),
                hold=hold,
            ).delta
        return aggregate(
            contributions, scheme=scheme, terms=terms, max_norm=plan.max_norm, max_labels=plan.max_labels, hold=hold
        ).delta

    def _hold(self, arm: Arm, plan: RoundPlan, start: AdapterFactors | None) -> Hold | None:
        natural = self.settings.plan.natural_of(arm.scheme)
        if natural is None or arm.fusion is Fusion.MEAN:
            return None
        contribution = Contribution(node_id="centre", labels=1, staleness=0, arrays=self.trainings.hold(plan, start))
        return Hold(contribution=contribution, weight=natural.hold)

    def _contributions(self, arm: Arm, plan: RoundPlan, start: AdapterFactors | None) -> Iterator[Contribution]:
        poisoned = poisoned_names(self.schools) if arm.is_poisoned else frozenset()
        for trained in self.trainings.every(plan, start):
            own = trained.contribution
            yield poison(own) if own.node_id in poisoned else own

    def _applied(self, plan: RoundPlan, contribution: Contribution) -> AdapterFactors:
        terms = self._terms(plan)
        delta = {name: array.astype(np.float64) for name, array in contribution.arrays.items()}
        return adapter_ship(plan, scheme_of(plan.scheme).step(terms, None, delta, 1.0)).factors


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
