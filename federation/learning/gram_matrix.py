"""What a Gram matrix is after it has travelled: positive and of trace `rank`, or none at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRACE_TOLERANCE = 0.02


class NoGramMatrix(ValueError):
    """The matrix is not positive, or not of trace `rank`."""


def gram_scaled(gram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `gram` scaled to trace `rank`, its own rows; it must not be all zero."""
    return gram * np.float32(len(gram) / np.trace(gram))


def gram_mend(gram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the Gram matrix nearest to the symmetric `gram`, as far as rounding explains the distance.

    Float16 moves each entry by up to 2^-11 of itself, and with it an eigenvalue by up to 2^-11 of the trace. That may
    leave a small negative one; the sum over schools is inverted, so it is lifted to 0.

    Raises:
        NoGramMatrix: rounding does not explain the distance.
    Source: Higham 1988, "Computing a nearest symmetric positive semidefinite matrix", theorem 2.1.
    """
    rank = len(gram)
    if abs(float(np.trace(gram, dtype=np.float64)) - rank) > TRACE_TOLERANCE * rank:
        raise NoGramMatrix
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    if values[0] < -rank / 1024:
        raise NoGramMatrix
    lifted = (vectors * np.maximum(values, 0)) @ vectors.T
    # The halves are summed in different orders, and a Gram matrix is symmetric to the last bit.
    mended: NDArray[np.float32] = ((lifted + lifted.T) * (rank / 2 / np.trace(lifted))).astype(np.float32)
    return mended
