"""Robust means number by number: what a few schools send cannot leave the range of what the others sent."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def trimmed_at_each_end(schools: int, *, share: float) -> int:
    """Return how many of `schools` values are left out at either end: at least `share` of them, and never all.

    Rounded up, so that the share of poisoned schools that the season foresees is always within what is left out.
    """
    # The tiny number undoes binary fractions: 0.2 · 15 is a little more than 3.
    return min(math.ceil(share * schools - 1e-9), (schools - 1) // 2)


def trimmed_mean(stack: NDArray[np.float32], *, trimmed: int) -> NDArray[np.float32]:
    """Return the mean over axis 0 of `stack` (schools, …), `trimmed` values left out at either end of each coordinate.

    It depends on the set of values alone, to the last bit: they are summed from the smallest to the largest. With no
    more than `trimmed` poisoned schools each coordinate lies between the smallest and largest honest value.

    Source: Yin et al. 2018, "Byzantine-robust distributed learning", definition 2.
    """
    kept = np.sort(stack, axis=0)[trimmed : len(stack) - trimmed]
    # Rows are added one after another: NumPy's own order of summing depends on the array's layout.
    total = np.zeros(kept.shape[1:], dtype=np.float64)
    for row in kept:
        total += row
    return (total / len(kept)).astype(np.float32)


def median_trim(schools: int) -> int:
    """Return how many values to leave out at either end so that what stays is the median: one value, or the two middle.

    Source: Yin et al. 2018, definition 1.
    """
    return (schools - 1) // 2
