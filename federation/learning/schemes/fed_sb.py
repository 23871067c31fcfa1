"""Fed-SB: A and B are frozen and named by the seed, schools learn the small core C between them.

Exact: A and B are the same at every school, so the mean of the products A C B is A times the mean of C times B. What is
served is A and C B, so an adapter looks like FFA-LoRA's and the engine need not know.

Source: Singhal et al. 2025, "Fed-SB: a silver bullet for extreme communication efficiency and performance in (private)
federated LoRA fine-tuning"; theirs takes A and B from the first gradient, ours from the seed, so that neither is sent.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from federation.basis import AdapterFactors, frozen_b
from federation.learning.schemes.contribution import Delta
from federation.learning.schemes.fusion import fusion_begin
from federation.learning.schemes.scheme import Accumulator, Scheme, Terms
from federation.wire.rounds import Factor


class FedSb(Scheme):
    """`(x A) (B + ΔC F)`, F the seed's frozen B: what travels is ΔC and the Gram matrix of x A."""

    factors: ClassVar[tuple[Factor, ...]] = (Factor.CORE, Factor.GRAM)

    def accumulator(self, terms: Terms) -> Accumulator:
        """Return an empty sum of the fusion that the terms name."""
        return fusion_begin(self, terms)

    def step(self, terms: Terms, start: AdapterFactors | None, delta: Delta, size: float) -> AdapterFactors:
        """Return B + size ΔC F under the same A."""
        b = {}
        for slot, sizes in terms.sizes.items():
            frozen = frozen_b(seed=terms.seed, slot=slot, rank=terms.rank, d_out=sizes.d_out)
            moved = size * (delta[slot, Factor.CORE] @ frozen.astype(np.float64))
            b[slot] = (moved if start is None else moved + start.b[slot]).astype(np.float32)
        return AdapterFactors(a=None, b=b)
