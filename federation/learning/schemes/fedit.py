"""FedIT: schools learn A and B, and the centre averages each of the two on its own.

Not exact: the mean of the products A B is not the product of the means; what differs is the covariance of A and B over
the schools. The error is 0 for one school and grows as schools drift apart. It is here to be compared with.

Source: Zhang et al. 2024, "Towards building the federated GPT: federated instruction tuning" (FedIT).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from federation.basis import AdapterFactors
from federation.learning.schemes.contribution import Delta
from federation.learning.schemes.factors import factors_held
from federation.learning.schemes.scheme import Accumulator, Scheme, Terms
from federation.learning.schemes.weighted_mean import WeightedMean
from federation.wire.rounds import Factor


class FedIt(Scheme):
    """`x (A + ΔA) (B + ΔB)`, A at first the seed's: what travels is ΔA and ΔB."""

    factors: ClassVar[tuple[Factor, ...]] = (Factor.A, Factor.B)

    def accumulator(self, terms: Terms) -> Accumulator:
        """Return an empty mean of ΔA and of ΔB."""
        return WeightedMean(self, terms)

    def step(self, terms: Terms, start: AdapterFactors | None, delta: Delta, size: float) -> AdapterFactors:
        """Return A + size ΔA and B + size ΔB: the server moves factors, as the scheme averages them."""
        a, b = {}, {}
        for slot in terms.sizes:
            held_a, held_b = factors_held(terms, start, slot)
            a[slot] = (held_a + size * delta[slot, Factor.A]).astype(np.float32)
            b[slot] = (held_b + size * delta[slot, Factor.B]).astype(np.float32)
        return AdapterFactors(a=a, b=b)
