"""The running sum of a scheme whose A is frozen, as the season's fusion wants it."""

from __future__ import annotations

from federation.learning.schemes.least_squares import LeastSquares
from federation.learning.schemes.scheme import Accumulator, Fusion, Scheme, Terms
from federation.learning.schemes.weighted_mean import WeightedMean


def fusion_begin(scheme: Scheme, terms: Terms) -> Accumulator:
    """Return the empty sum of `scheme` under the terms' fusion."""
    return LeastSquares(scheme, terms) if terms.fusion is Fusion.LEAST_SQUARES else WeightedMean(scheme, terms)
