"""What a Gram matrix is after it has travelled: symmetric, positive and of trace `rank`, or none at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRACE_TOLERANCE = 0.05
ASYMMETRY_TOLERANCE = 0.01
"""Of the largest entry: int8 rounds the two halves by up to 1/254 of their rows' largest each."""


class NoGramMatrix(ValueError):
    """The matrix is not symmetric, not positive, or not of trace `rank`."""


def gram_scaled(gram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `gram` scaled to trace `rank`, its own rows; it must not be all zero."""
    return gram * np.float32(len(gram) / np.trace(gram))


def gram_mend(gram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the Gram matrix nearest to `gram`, whose entries are finite, as far as rounding explains the distance.

    Rounding to int8 moves an eigenvalue by up to rank^1.5 / 254, which may leave a small negative one; the sum over
    schools is inverted, so it is lifted to 0.

    Raises:
        NoGramMatrix: rounding does not explain the distance.
    Source: Higham 1988, "Computing a nearest symmetric positive semidefinite matrix", theorem 2.1.
    """
    rank = len(gram)
    if gram.shape != (rank, rank) or rank == 0:
        raise NoGramMatrix
    if np.max(np.abs(gram - gram.T)) > ASYMMETRY_TOLERANCE * np.max(np.abs(gram)):
        raise NoGramMatrix
    if abs(float(np.trace(gram, dtype=np.float64)) - rank) > TRACE_TOLERANCE * rank:
        raise NoGramMatrix
    values, vectors = np.linalg.eigh((gram.astype(np.float64) + gram.T) / 2)
    if values[0] < -(rank**1.5) / 254 - rank / 1024:
        raise NoGramMatrix
    lifted = (vectors * np.maximum(values, 0)) @ vectors.T
    # The halves are summed in different orders, and a Gram matrix is symmetric to the last bit.
    mended: NDArray[np.float32] = ((lifted + lifted.T) * (rank / 2 / np.trace(lifted))).astype(np.float32)
    return mended
