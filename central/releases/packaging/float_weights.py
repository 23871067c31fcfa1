"""Matrices of small floats: float16 as it is, or E4M3 with a scale for each output. It knows neither files nor graphs.

E4M3 (float8_e4m3fn) has four bits of exponent, three of fraction, no infinities, and 448 as its greatest number.

Source: Micikevicius et al. 2022, "FP8 Formats for Deep Learning".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.rounding import columns_compensate

E4M3: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT8E4M3FN)
E4M3_LARGEST = np.float32(448)
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class FloatWeights:
    """A matrix (out, in) whose weight is its value, times the scale of its output where there are scales.

    `values` is float16 or E4M3 (out, in); `scales` is float32 (out,), or None.
    """

    values: NDArray[Any]
    scales: NDArray[np.float32] | None = None

    def dequantise(self) -> NDArray[np.float32]:
        """Return the weights as float32 (out, in): one rounding each, that of the product."""
        values = self.values.astype(np.float32)
        return values if self.scales is None else values * self.scales[:, None]


FloatForm = Callable[[NDArray[np.float32]], FloatWeights]


def float16_round(matrix: NDArray[np.float32]) -> FloatWeights:
    """Return the matrix (out, in), which may be mapped from disk, each weight at the nearest float16, ties to even.

    Raises:
        GraphUnexpected: a weight is beyond 65504, or no number.
    """
    values = np.empty(matrix.shape, np.float16)
    for start in range(0, len(matrix), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        _check(matrix[part], np.float32(np.finfo(np.float16).max))
        values[part] = matrix[part]
    return FloatWeights(values)


def e4m3_round(matrix: NDArray[np.float32]) -> FloatWeights:
    """Return the matrix (out, in), which may be mapped from disk, with each weight at the nearest E4M3 of its output.

    The largest weight of an output becomes 448; an output of zeros has scale 1. Ties go to even.

    Raises:
        GraphUnexpected: a weight is infinite, or no number.
    """
    values, scales = np.empty(matrix.shape, E4M3), np.empty(len(matrix), np.float32)
    for start in range(0, len(matrix), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        rows = np.asarray(matrix[part], np.float32)
        scales[part] = _scales(rows)
        values[part] = _e4m3(rows / scales[part, None])
    return FloatWeights(values, scales)


def e4m3_compensate(matrix: NDArray[np.float32], *, moments: NDArray[np.float32]) -> FloatWeights:
    """Return the matrix (out, in) in E4M3, each column's error taken up by those behind it.

    `moments` is the mean of x xᵀ (in, in) over the inputs x that the matrix meets; the output on them is what is kept.

    Raises:
        GraphUnexpected: a weight is infinite, or no number.
    """
    values, scales = np.empty(matrix.shape, E4M3), _scales(matrix)

    def round_column(column: int, rest: NDArray[np.float32]) -> NDArray[np.float32]:
        values[:, column] = _e4m3(rest[column] / scales)
        rounded: NDArray[np.float32] = values[:, column].astype(np.float32) * scales
        return rounded

    columns_compensate(matrix, moments=moments, round_column=round_column)
    return FloatWeights(values, scales)


def _scales(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return, for each of `rows` (out, in), what makes its largest weight 448; 1 for a row of zeros."""
    _check(rows, np.finfo(np.float32).max)
    largest: NDArray[np.float32] = np.abs(rows).max(axis=1) / E4M3_LARGEST
    return np.where(largest > 0, largest, np.float32(1))


def _e4m3(scaled: NDArray[np.float32]) -> NDArray[Any]:
    # What is above 448 would become "no number": a scale among the least floats is itself rounded, and a weight that
    # takes up the errors of others may outgrow the largest one.
    return np.clip(scaled, -E4M3_LARGEST, E4M3_LARGEST).astype(E4M3)


def _check(rows: NDArray[np.float32], largest: np.float32) -> None:
    found = np.abs(rows).max()
    # "No number" is not below anything.
    if not found <= largest:
        raise GraphUnexpected(expected=f"weights up to {largest:g}", found=float(found))
