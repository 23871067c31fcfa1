"""The running sum of products A B, kept as one wide A and one tall B a slot.

A stack as wide as all schools would grow with them. Up to `STACKED` pairs are stacked in full, so that such a round is
exact and the order plays no part. Each time the stack is full it is shortened to `KEPT` ranks' worth of directions: a
slot with no more inputs or outputs than that loses nothing (all slots of the 270M at rank 64); of others the shortest
directions go, and `dropped` bounds what that has left out, by the triangle inequality.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federation.basis import frozen_a
from federation.learning.schemes.contribution import Contribution, Delta, contribution_check
from federation.learning.schemes.low_rank import Matrix, product_shorten
from federation.learning.schemes.scheme import NothingToAggregate, Scheme, Terms
from federation.wire.rounds import Factor

STACKED = 16
KEPT = 10


class ProductStack:
    """Σ w (F + ΔA) ΔB / Σ w by slot, as one wide A and one tall B."""

    def __init__(self, scheme: Scheme, terms: Terms) -> None:
        """Start at nothing."""
        self._terms = terms
        self._shapes = scheme.shapes_under(terms)
        self._stacks = {slot: _Stack() for slot in terms.sizes}
        self._total = 0.0

    def add(self, contribution: Contribution, weight: float) -> None:
        """Add a contribution; see Accumulator."""
        contribution_check(contribution, self._shapes)
        if weight == 0:
            return
        rank = self._terms.rank
        for slot, size in self._terms.sizes.items():
            frozen = frozen_a(seed=self._terms.seed, slot=slot, d_in=size.d_in, rank=rank)
            a = frozen + contribution.arrays[slot, Factor.A]
            self._stacks[slot].add(a, np.float32(weight) * contribution.arrays[slot, Factor.B], rank)
        self._total += weight

    def result(self) -> Delta:
        """Return the stacks; see Accumulator."""
        if self._total <= 0:
            raise NothingToAggregate
        delta: dict[tuple[str, Factor], Matrix] = {}
        for slot, stack in self._stacks.items():
            a, b = stack.whole()
            delta[slot, Factor.A], delta[slot, Factor.B] = a, b / self._total
        return delta

    @property
    def dropped(self) -> float:
        """Return the L2 length that the cuts of full stacks have left out at most."""
        lost = float(np.linalg.norm([stack.dropped for stack in self._stacks.values()]))
        return lost / self._total if self._total > 0 else 0.0


class _Stack:
    """One slot's pairs; `dropped` is the L2 length that its cuts have left out at most."""

    def __init__(self) -> None:
        self._pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self._columns = 0
        self.dropped = 0.0

    def add(self, a: NDArray[np.float32], b: NDArray[np.float32], rank: int) -> None:
        if self._columns + rank > STACKED * rank:
            left, right, lost = product_shorten(*self.whole(), KEPT * rank)
            self._pairs = [(left.astype(np.float32), right.astype(np.float32))]
            self._columns = len(right)
            self.dropped += lost
        self._pairs.append((a, b))
        self._columns += rank

    def whole(self) -> tuple[Matrix, Matrix]:
        """Return A (d_in, columns) and B (columns, d_out)."""
        a, b = np.hstack([a for a, _ in self._pairs]), np.vstack([b for _, b in self._pairs])
        return a.astype(np.float64), b.astype(np.float64)
