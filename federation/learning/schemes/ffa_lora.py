"""FFA-LoRA: A is frozen and named by the seed, schools learn B.

Exact: A is the same at every school, so the mean of the products A B is A times the mean of B, and nothing is lost by
sending, weighting, clipping or summing B alone. Not exact: where schools learn in more directions than an adapter has
room for, the adapter is cut to the nearest product of its rank, once a round, and brings an A of its own.

Source: Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning" (FFA-LoRA).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from federation.basis import AdapterFactors, frozen_a
from federation.learning.schemes.contribution import Delta
from federation.learning.schemes.factors import factors_held
from federation.learning.schemes.fusion import fusion_begin
from federation.learning.schemes.low_rank import product_cut
from federation.learning.schemes.scheme import Accumulator, Scheme, Terms
from federation.wire.rounds import Factor


class FfaLora(Scheme):
    """`(x A) (B + ΔB)`, or `(x A) ΔB` beside a start that brings its own A: ΔB and the Gram matrix of x A travel."""

    factors: ClassVar[tuple[Factor, ...]] = (Factor.B, Factor.GRAM)

    def accumulator(self, terms: Terms) -> Accumulator:
        """Return an empty sum of the fusion that the terms name."""
        return fusion_begin(self, terms)

    def step(self, terms: Terms, start: AdapterFactors | None, delta: Delta, size: float) -> AdapterFactors:
        """Return B + size ΔB under the same A, or the adapter of the terms' rank nearest to what that computes."""
        if terms.adapter_rank not in (0, terms.rank):
            return _cut(terms, start, delta, size)
        b = {slot: size * delta[slot, Factor.B] for slot in terms.sizes}
        if start is not None:
            b = {slot: array + start.b[slot] for slot, array in b.items()}
        return AdapterFactors(a=None, b={slot: array.astype(np.float32) for slot, array in b.items()})


def _cut(terms: Terms, start: AdapterFactors | None, delta: Delta, size: float) -> AdapterFactors:
    a, b = {}, {}
    for slot, sizes in terms.sizes.items():
        left = frozen_a(seed=terms.seed, slot=slot, d_in=sizes.d_in, rank=terms.rank).astype(np.float64)
        right = size * delta[slot, Factor.B]
        if start is not None:
            held_a, held_b = factors_held(terms, start, slot)
            left, right = np.hstack([left, held_a]), np.vstack([right, held_b])
        left, right, _ = product_cut(left, right, terms.adapter_rank)
        a[slot], b[slot] = left.astype(np.float32), right.astype(np.float32)
    return AdapterFactors(a=a, b=b)
