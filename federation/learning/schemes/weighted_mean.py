"""The weighted mean of what schools learnt, array by array."""

from __future__ import annotations

import numpy as np

from federation.learning.schemes.contribution import Contribution, Delta, contribution_check
from federation.learning.schemes.scheme import NothingToAggregate, Scheme, Terms


class WeightedMean:
    """Σ w Δ / Σ w, exact and linear in each Δ; Gram matrices play no part.

    Source: McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data".
    """

    def __init__(self, scheme: Scheme, terms: Terms) -> None:
        """Start at nothing."""
        self._shapes = scheme.shapes_under(terms)
        self._sums = {
            (shape.slot, shape.factor): np.zeros((shape.rows, shape.columns))
            for shape in self._shapes
            if shape.factor in scheme.learnt
        }
        self._total = 0.0

    def add(self, contribution: Contribution, weight: float) -> None:
        """Add a contribution; see Accumulator."""
        contribution_check(contribution, self._shapes)
        for name in self._sums:
            self._sums[name] += weight * contribution.arrays[name].astype(np.float64)
        self._total += weight

    def result(self) -> Delta:
        """Return the mean; see Accumulator."""
        if self._total <= 0:
            raise NothingToAggregate
        return {name: total / self._total for name, total in self._sums.items()}

    @property
    def dropped(self) -> float:
        """Return 0: nothing is left out."""
        return 0.0
