"""The factors that an adapter of a season gives a slot, whether it names its A or brings it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federation.basis import AdapterFactors, frozen_a
from federation.learning.schemes.scheme import Terms


def factors_held(
    terms: Terms, adapter: AdapterFactors | None, slot: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return A (d_in, rank) and B (rank, d_out) of `slot`; of the base alone the seed's A and zeros."""
    size = terms.sizes[slot]
    if adapter is not None and adapter.a is not None:
        return adapter.a[slot], adapter.b[slot]
    a = frozen_a(seed=terms.seed, slot=slot, d_in=size.d_in, rank=terms.rank)
    return a, np.zeros((terms.rank, size.d_out), np.float32) if adapter is None else adapter.b[slot]
