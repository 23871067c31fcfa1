"""FLoRA: schools learn A and B of a fresh pair beside the start, and the centre adds up the products by stacking.

Exact: [A₁ A₂ …] [w₁ B₁; w₂ B₂; …] is the weighted sum of the products, whatever each school did to its A. Not exact: a
package holds one adapter of the plan's rank, so the sum is cut to the nearest product of that rank, once a round.

Source: Wang et al. 2024, "FLoRA: federated fine-tuning large language models with heterogeneous low-rank adaptations",
equation 5; the paper ships the stack itself, which no package has room for.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from federation.basis import AdapterFactors
from federation.learning.schemes.contribution import Delta
from federation.learning.schemes.factors import factors_held
from federation.learning.schemes.low_rank import Matrix, product_cut, product_norm, product_shorten
from federation.learning.schemes.product_stack import KEPT, ProductStack
from federation.learning.schemes.scheme import Accumulator, Scheme, Terms
from federation.wire.rounds import Factor


class Flora(Scheme):
    """`x A B` of the start stands still and `x (F + ΔA) ΔB` is learnt beside it, F the seed's A: ΔA and ΔB travel."""

    factors: ClassVar[tuple[Factor, ...]] = (Factor.A, Factor.B)

    def accumulator(self, terms: Terms) -> Accumulator:
        """Return an empty stack."""
        return ProductStack(self, terms)

    def step(self, terms: Terms, start: AdapterFactors | None, delta: Delta, size: float) -> AdapterFactors:
        """Return the adapter of the plan's rank nearest to A B + size ΔP: the server moves the products."""
        a, b = {}, {}
        for slot in terms.sizes:
            left, right = delta[slot, Factor.A], size * delta[slot, Factor.B]
            if start is not None:
                held_a, held_b = factors_held(terms, start, slot)
                left, right = np.hstack([held_a, left]), np.vstack([held_b, right])
            left, right, _ = product_cut(left, right, terms.rank)
            a[slot], b[slot] = left.astype(np.float32), right.astype(np.float32)
        return AdapterFactors(a=a, b=b)

    def momentum(self, terms: Terms, velocity: Delta, delta: Delta, decay: float) -> Delta:
        """Return `decay` times the velocity's product plus the delta's, shortened as a full stack is."""
        moved: dict[tuple[str, Factor], Matrix] = {}
        for slot in terms.sizes:
            left = np.hstack([velocity[slot, Factor.A], delta[slot, Factor.A]])
            right = np.vstack([decay * velocity[slot, Factor.B], delta[slot, Factor.B]])
            moved[slot, Factor.A], moved[slot, Factor.B], _ = product_shorten(left, right, KEPT * terms.rank)
        return moved

    def norm(self, delta: Delta) -> float:
        """Return the L2 norm of the products."""
        slots = (slot for slot, factor in delta if factor is Factor.A)
        return float(np.linalg.norm([product_norm(delta[slot, Factor.A], delta[slot, Factor.B]) for slot in slots]))
