"""Rounds a matrix to 4 or 8 bits in blocks: to the nearest code, or so that later columns make up for earlier ones.

Eight bits are symmetric around 128; four bits have a zero point for each block. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from central.releases.packaging.block_weights import BlockWeights

_BYTE = 8
_MIDDLE = 128
_LARGEST_BYTE = np.float32(127)
_LARGEST_NIBBLE = 15
_ROWS_AT_ONCE = 8192
_COLUMNS_AT_ONCE = 128
_DAMPING = 0.01
_SMALLEST = 1e-30
# How much narrower than from least to greatest a block's grid may be: the outliers are then cut off.
_SHRINKAGES = tuple(1 - step / 40 for step in range(16))


def round_nearest(matrix: NDArray[np.float32], *, bits: int, block: int) -> BlockWeights:
    """Return the matrix (out, in), which may be mapped from disk, with each weight at the nearest code of its block."""
    parts = [
        _nearest(np.ascontiguousarray(matrix[start : start + _ROWS_AT_ONCE], np.float32), bits, block)
        for start in range(0, len(matrix), _ROWS_AT_ONCE)
    ]
    zeros = [part.zero_points for part in parts if part.zero_points is not None]
    return BlockWeights(
        bits=bits,
        block=block,
        codes=np.concatenate([part.codes for part in parts]),
        scales=np.concatenate([part.scales for part in parts]),
        zero_points=np.concatenate(zeros) if zeros else None,
    )


def round_compensated(
    matrix: NDArray[np.float32], *, moments: NDArray[np.float32], bits: int, block: int
) -> BlockWeights:
    """Return the matrix (out, in) rounded column by column, each column's error taken up by those not rounded yet.

    `moments` is the mean of x xᵀ (in, in) over the inputs x that the matrix meets; the output on them is what is kept.

    Source: Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers".
    """
    outputs, inputs = matrix.shape
    weight = np.diag(moments)
    codes = np.empty((inputs, outputs), np.uint8)
    scales = np.empty((inputs // block, outputs), np.float32)
    zeros = np.empty((inputs // block, outputs), np.uint8)

    def round_column(column: int, rest: NDArray[np.float32]) -> NDArray[np.float32]:
        group, place = divmod(column, block)
        if place == 0:
            scales[group], zeros[group] = _grid(rest[column : column + block], weight[column : column + block], bits)
        codes[column] = _codes(rest[column], scales[group], zeros[group], bits)
        rounded: NDArray[np.float32] = (codes[column].astype(np.float32) - zeros[group]) * scales[group]
        return rounded

    columns_compensate(matrix, moments=moments, block=block, round_column=round_column)
    return BlockWeights(
        bits=bits,
        block=block,
        codes=np.ascontiguousarray(codes.T).reshape(outputs, inputs // block, block),
        scales=np.ascontiguousarray(scales.T),
        zero_points=None if bits == _BYTE else np.ascontiguousarray(zeros.T),
    )


def columns_compensate(
    matrix: NDArray[np.float32],
    *,
    moments: NDArray[np.float32],
    round_column: Callable[[int, NDArray[np.float32]], NDArray[np.float32]],
    block: int = 1,
) -> None:
    """Have every column of the matrix (out, in) rounded in order, each error taken up by the columns behind it.

    `round_column` is given a column's number and all weights as they are by then, (in, out), and returns that column
    rounded (out,); those of its block are up to date. What it makes of them it keeps itself.

    Source: as of `round_compensated`.
    """
    rest = np.array(matrix.T, np.float32, order="C")
    inputs, outputs = rest.shape
    pull = _inverse_root(moments)
    for start in range(0, inputs, _COLUMNS_AT_ONCE):
        end = min(start + _COLUMNS_AT_ONCE, inputs)
        errors = np.empty((end - start, outputs), np.float32)
        for column in range(start, end):
            error = (rest[column] - round_column(column, rest)) / pull[column, column]
            errors[column - start] = error
            # A block may reach beyond these columns, so its weights are brought up to date at once.
            reach = max(end, min((column // block + 1) * block, inputs))
            rest[column + 1 : reach] -= pull[column, column + 1 : reach, None] * error
        done = max(end, min(-(-end // block) * block, inputs))
        rest[done:] -= pull[start:end, done:].T @ errors


def _nearest(matrix: NDArray[np.float32], bits: int, block: int) -> BlockWeights:
    outputs, inputs = matrix.shape
    blocks = matrix.reshape(outputs, inputs // block, block)
    if bits == _BYTE:
        scales = np.abs(blocks).max(axis=-1) / _LARGEST_BYTE
        divisor = np.where(scales > 0, scales, np.float32(1))
        codes = (np.rint(blocks / divisor[..., None]) + _MIDDLE).astype(np.uint8)
        return BlockWeights(bits=bits, block=block, codes=codes, scales=scales)
    columns = np.moveaxis(blocks, -1, 0)
    scales, zeros = _grid(columns, np.ones(block, np.float32), bits)
    codes = np.moveaxis(_codes(columns, scales, zeros, bits), 0, -1)
    return BlockWeights(bits=bits, block=block, codes=np.ascontiguousarray(codes), scales=scales, zero_points=zeros)


def _grid(
    weights: NDArray[np.float32], importance: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return scales and zero points (...) for blocks (block, ...), the best of some widths by importance (block,)."""
    if bits == _BYTE:
        scales = np.abs(weights).max(axis=0) / _LARGEST_BYTE
        return scales, np.full(scales.shape, _MIDDLE, np.uint8)
    least, greatest = np.minimum(weights.min(axis=0), 0), np.maximum(weights.max(axis=0), 0)
    best_error = np.full(least.shape, np.inf, np.float32)
    best_scales, best_zeros = np.zeros_like(least), np.zeros(least.shape, np.uint8)
    for shrinkage in _SHRINKAGES:
        scales = (greatest - least) * np.float32(shrinkage / _LARGEST_NIBBLE)
        divisor = np.where(scales > 0, scales, np.float32(1))
        zeros = np.clip(np.rint(-least * np.float32(shrinkage) / divisor), 0, _LARGEST_NIBBLE).astype(np.uint8)
        rounded = (_codes(weights, scales, zeros, bits).astype(np.float32) - zeros) * scales
        error = np.tensordot(importance, (weights - rounded) ** 2, axes=1)
        is_better = error < best_error
        best_error = np.where(is_better, error, best_error)
        best_scales, best_zeros = np.where(is_better, scales, best_scales), np.where(is_better, zeros, best_zeros)
    return best_scales, best_zeros


def _codes(
    weights: NDArray[np.float32], scales: NDArray[np.float32], zeros: NDArray[np.uint8], bits: int
) -> NDArray[np.uint8]:
    divisor = np.where(scales > 0, scales, np.float32(1))
    return np.clip(np.rint(weights / divisor) + zeros, 0, (1 << bits) - 1).astype(np.uint8)


def _inverse_root(moments: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the upper triangular U with UᵀU = (moments + damping)⁻¹."""
    damped = moments.astype(np.float64)
    diagonal = np.diag(damped)
    # An input that is never there gives no hold; the damping keeps it, and everything else, invertible.
    damped[np.diag_indices_from(damped)] += max(_DAMPING * float(diagonal.mean()), _SMALLEST)
    return np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
