"""The least-squares fusion of what schools learnt under one frozen A: each school's own questions keep their answers.

With A frozen, z = x A means the same at every school. The best single M (B itself, or the core of a frozen B) has a
closed form: minimise, over the schools and with their weights, the change of z M on each school's own z, plus a ridge
that pulls every direction which no school looked at towards the weighted mean. It needs only sums over schools of G and
G M, where G = zᵀz is the school's Gram matrix, so it is exact, does not depend on the order, and with an endless ridge
it is the weighted mean itself. A frozen B after M changes nothing: it multiplies both sides of the normal equations.
The plain mean waters a correction down by the number of schools, and lets corrections with similar words spoil each
other.

Source: Jin et al. 2023, "Dataless knowledge fusion by merging weights of language models" (RegMean), equation 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federation.learning.schemes.contribution import Contribution, Delta, contribution_check, learnt_norm
from federation.learning.schemes.scheme import NothingToAggregate, Scheme, Terms
from federation.wire.rounds import Factor

LONGEST = 2.0


class LeastSquares:
    """(Σ w (G + ridge I))⁻¹ Σ w (G + ridge I) Δ, slot by slot.

    The fusion is at most `LONGEST` times as long as the clipped updates laid end to end: schools that contradict each
    other cannot blow it up.
    """

    def __init__(self, scheme: Scheme, terms: Terms) -> None:
        """Start at nothing."""
        self._shapes = scheme.shapes_under(terms)
        (self._factor,) = scheme.learnt
        self._ridge = terms.ridge * np.eye(terms.rank)
        self._left = {slot: np.zeros((terms.rank, terms.rank)) for slot in terms.sizes}
        self._right = {
            shape.slot: np.zeros((shape.rows, shape.columns)) for shape in self._shapes if shape.factor is self._factor
        }
        self._reach = self._total = 0.0

    def add(self, contribution: Contribution, weight: float) -> None:
        """Add a contribution; see Accumulator."""
        contribution_check(contribution, self._shapes)
        if weight == 0:
            return
        for slot in self._left:
            stiffness = weight * (contribution.arrays[slot, Factor.GRAM].astype(np.float64) + self._ridge)
            self._left[slot] += stiffness
            self._right[slot] += stiffness @ contribution.arrays[slot, self._factor].astype(np.float64)
        self._reach += learnt_norm(contribution.arrays)
        self._total += weight

    def result(self) -> Delta:
        """Return the fusion; see Accumulator."""
        if self._total <= 0:
            raise NothingToAggregate
        fused = {(slot, self._factor): self._solved(slot) for slot in self._left}
        length, longest = learnt_norm(fused), LONGEST * self._reach
        if length <= longest:
            return fused
        return {name: array * (longest / length) for name, array in fused.items()}

    def _solved(self, slot: str) -> NDArray[np.float64]:
        return np.linalg.solve(self._left[slot], self._right[slot]).astype(np.float64)

    @property
    def dropped(self) -> float:
        """Return 0: nothing is left out."""
        return 0.0
