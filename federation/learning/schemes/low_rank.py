"""Products A B of thin matrices, measured and cut without ever being formed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def product_norm(a: Matrix, b: Matrix) -> float:
    """Return the L2 (Frobenius) norm of A B, A (d_in, k) and B (k, d_out)."""
    return math.sqrt(max(0.0, float(np.sum((a.T @ a) * (b @ b.T)))))


def product_cut(a: Matrix, b: Matrix, rank: int) -> tuple[Matrix, Matrix, float]:
    """Return A (d_in, rank) and B (rank, d_out) whose product is nearest to `a @ b`, and the L2 norm of what is cut.

    The halves share the singular values evenly. Where the product has fewer than `rank` directions, zeros fill up.

    Source: Eckart and Young 1936; singular values through two QR factorisations, Halko et al. 2011, section 5.
    """
    q_left, r_left = np.linalg.qr(a)
    q_right, r_right = np.linalg.qr(b.T)
    u, singular, v = np.linalg.svd(r_left @ r_right.T, full_matrices=False)
    kept = min(rank, len(singular))
    root = np.sqrt(singular[:kept])
    left, right = np.zeros((len(a), rank)), np.zeros((rank, b.shape[1]))
    left[:, :kept] = q_left @ (u[:, :kept] * root)
    right[:kept] = (root[:, None] * v[:kept]) @ q_right.T
    return left, right, math.sqrt(float(np.sum(np.square(singular[kept:]))))
