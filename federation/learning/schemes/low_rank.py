"""Products A B of thin matrices: measured, cut to a rank, and held in the least room."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def product_norm(a: Matrix, b: Matrix) -> float:
    """Return the L2 (Frobenius) norm of A B, A (d_in, k) and B (k, d_out)."""
    return math.sqrt(max(0.0, float(np.sum((a.T @ a) * (b @ b.T)))))


def product_shorten(a: Matrix, b: Matrix, columns: int) -> tuple[Matrix, Matrix, float]:
    """Return A and B of at most `columns` columns and rows, and the L2 norm of what their product lacks of `a @ b`.

    Where the narrower side of the product is no wider than `columns`, the product itself beside an identity is exact
    and needs no singular values. Elsewhere the product is never formed.
    """
    if a.shape[1] <= columns:
        return a, b, 0.0
    if b.shape[1] <= min(columns, len(a)):
        return a @ b, np.eye(b.shape[1]), 0.0
    if len(a) <= columns:
        return np.eye(len(a)), a @ b, 0.0
    return product_cut(a, b, columns)


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
