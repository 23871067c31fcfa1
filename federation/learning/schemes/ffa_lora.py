"""FFA-LoRA: A is frozen and named by the seed, schools learn B.

Exact: A is the same at every school, so the mean of the products A B is A times the mean of B, and nothing is lost by
sending, weighting, clipping or summing B alone.

Source: Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning" (FFA-LoRA).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from federation.basis import AdapterFactors
from federation.learning.schemes.contribution import Delta
from federation.learning.schemes.fusion import fusion_begin
from federation.learning.schemes.scheme import Accumulator, Scheme, Terms
from federation.wire.rounds import Factor


class FfaLora(Scheme):
    """`(x A) (B + ΔB)`: what travels is ΔB and the Gram matrix of x A."""

    factors: ClassVar[tuple[Factor, ...]] = (Factor.B, Factor.GRAM)

    def accumulator(self, terms: Terms) -> Accumulator:
        """Return an empty sum of the fusion that the terms name."""
        return fusion_begin(self, terms)

    def step(self, terms: Terms, start: AdapterFactors | None, delta: Delta, size: float) -> AdapterFactors:
        """Return B + size ΔB under the same A."""
        b = {slot: size * delta[slot, Factor.B] for slot in terms.sizes}
        if start is not None:
            b = {slot: array + start.b[slot] for slot, array in b.items()}
        return AdapterFactors(a=None, b={slot: array.astype(np.float32) for slot, array in b.items()})
