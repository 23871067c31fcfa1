"""What every scheme answers: what schools learn, how their updates add up, and which adapter comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from federation.basis import AdapterFactors, SlotSize
from federation.errors import WireError
from federation.learning.schemes.contribution import Contribution, Delta, learnt_norm
from federation.wire.rounds import ArrayShape, Factor, RoundPlan


class NothingToAggregate(WireError):
    """No update carries any weight."""

    code = "nothing_to_aggregate"


class Fusion(StrEnum):
    """How the centre adds up a scheme whose A is frozen; the updates are the same for both."""

    LEAST_SQUARES = "least-squares"
    """Each school's own questions keep the answers learnt there (Jin et al. 2023)."""
    MEAN = "mean"
    """The weighted mean: linear in each update, as noise and secure sums need it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a season fixes for all of its updates; `sizes` are its slots', in the plan's order."""

    seed: str
    rank: int
    """Of the updates."""
    sizes: Mapping[str, SlotSize]
    adapter_rank: int = 0
    """Of the adapters, where updates have more directions than an adapter has room for; 0: as many."""
    fusion: Fusion = Fusion.LEAST_SQUARES
    ridge: float = 0.1
    """How firmly least squares pulls directions that no school looked at towards the weighted mean."""


def terms_of(
    plan: RoundPlan,
    sizes: Mapping[str, SlotSize],
    fusion: Fusion = Fusion.LEAST_SQUARES,
    *,
    adapter_rank: int = 0,
) -> Terms:
    """Return the terms of the plan's season; `sizes` are the base's, of the plan's slots at least."""
    own = {slot: sizes[slot] for slot in plan.slots}
    return Terms(seed=plan.seed, rank=plan.rank, sizes=own, adapter_rank=adapter_rank, fusion=fusion, ridge=plan.ridge)


class Accumulator(Protocol):
    """The running sum of a round: its memory does not grow with the number of schools."""

    def add(self, contribution: Contribution, weight: float) -> None:
        """Add a contribution, clipped already, with a weight of 0 or more.

        Raises:
            ContributionMismatch, ContributionNotFinite: names the node; the sum stays as it was.
        """

    def result(self) -> Delta:
        """Return the weighted combination of all that was added, weights summing to 1.

        Raises:
            NothingToAggregate: all that was added has weight 0.
        """

    @property
    def dropped(self) -> float:
        """Return how long, as an L2 norm of products A B, that is at most which `result` leaves out; 0: exact."""


class Scheme(ABC):
    """One way to learn an adapter together; stateless."""

    factors: ClassVar[tuple[Factor, ...]]
    """The arrays of an update for each slot, in the body's order."""

    @property
    def learnt(self) -> tuple[Factor, ...]:
        """What schools train; the Gram matrices are measured."""
        return tuple(factor for factor in self.factors if factor is not Factor.GRAM)

    def shapes(self, plan: RoundPlan, dimensions: Mapping[str, SlotSize]) -> tuple[ArrayShape, ...]:
        """Return the arrays of an update for `plan`, in the body's order; `dimensions` are the base's by slot."""
        return self.shapes_under(terms_of(plan, dimensions))

    def shapes_under(self, terms: Terms) -> tuple[ArrayShape, ...]:
        """Return the arrays of an update under `terms`, in the body's order."""
        return tuple(
            ArrayShape(slot=slot, factor=factor, rows=rows, columns=columns)
            for factor in self.factors
            for slot, size in terms.sizes.items()
            for rows, columns in [_shape(factor, size, terms.rank)]
        )

    @abstractmethod
    def accumulator(self, terms: Terms) -> Accumulator:
        """Return an empty sum."""

    @abstractmethod
    def step(self, terms: Terms, start: AdapterFactors | None, delta: Delta, size: float) -> AdapterFactors:
        """Return the adapter `size` times `delta` away from `start`; None is the base alone."""

    def momentum(self, terms: Terms, velocity: Delta, delta: Delta, decay: float) -> Delta:  # noqa: ARG002 - a scheme of products needs the terms
        """Return `decay` times `velocity` plus `delta`."""
        return {name: decay * velocity[name] + array for name, array in delta.items()}

    def norm(self, delta: Delta) -> float:
        """Return the L2 norm of `delta`."""
        return learnt_norm(delta)


def _shape(factor: Factor, size: SlotSize, rank: int) -> tuple[int, int]:
    shapes = {Factor.A: (size.d_in, rank), Factor.B: (rank, size.d_out)}
    return shapes.get(factor, (rank, rank))
