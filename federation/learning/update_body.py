"""The arrays of an update as bytes, in either precision (protocol §6.3).

float16: each array row by row, little-endian. int8: for each row one float16 scale, then the row as int8. The scale is
the row's largest magnitude / 127, rounded up to the next float16, so no number moves by more than half a scale. A Gram
matrix is float16 in both, its upper triangle row by row: that is as short as all of it in int8, always symmetric, and
near enough to be inverted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from federation.learning.schemes.contribution import ArrayName, Arrays
from federation.wire.rounds import ArrayShape, Factor, Precision

LARGEST = float(np.finfo(np.float16).max)
"""No array of an update holds a number beyond this."""
_FLOAT16 = np.dtype("<f2")
_MOST = 127


def body_write(arrays: Arrays, precision: Precision) -> bytes:
    """Return the matrices `arrays`, whose numbers are finite and at most `LARGEST`, in their order."""
    return b"".join(_encoded(array, factor, precision) for (_, factor), array in arrays.items())


def body_size(shapes: Sequence[ArrayShape], precision: Precision) -> int:
    """Return the bytes of a body of these `shapes`, or -1 where no body can have them."""
    is_possible = all(
        shape.rows > 0 and shape.columns > 0 and (shape.factor is not Factor.GRAM or shape.rows == shape.columns)
        for shape in shapes
    )
    return sum(_size(shape, precision) for shape in shapes) if is_possible else -1


def body_read(body: bytes, shapes: Sequence[ArrayShape], precision: Precision) -> dict[ArrayName, NDArray[np.float32]]:
    """Return the arrays of a body of `body_size` bytes; what is no number there is none here."""
    arrays: dict[ArrayName, NDArray[np.float32]] = {}
    start = 0
    for shape in shapes:
        end = start + _size(shape, precision)
        arrays[shape.slot, shape.factor] = _decoded(body[start:end], shape, precision)
        start = end
    return arrays


def _size(shape: ArrayShape, precision: Precision) -> int:
    if shape.factor is Factor.GRAM:
        return shape.rows * (shape.rows + 1) // 2 * _FLOAT16.itemsize
    if precision is Precision.INT8:
        return shape.rows * (_FLOAT16.itemsize + shape.columns)
    return shape.rows * shape.columns * _FLOAT16.itemsize


def _encoded(array: NDArray[np.float32], factor: Factor, precision: Precision) -> bytes:
    if factor is Factor.GRAM:
        return array[np.triu_indices(len(array))].astype(_FLOAT16).tobytes()
    if precision is Precision.INT8:
        return _int8(array)
    return np.ascontiguousarray(array, dtype=_FLOAT16).tobytes()


def _decoded(content: bytes, shape: ArrayShape, precision: Precision) -> NDArray[np.float32]:
    if shape.factor is not Factor.GRAM and precision is Precision.INT8:
        return _int8_read(content, shape.columns)
    numbers = np.frombuffer(content, dtype=_FLOAT16).astype(np.float32)
    if shape.factor is not Factor.GRAM:
        return numbers.reshape(shape.rows, shape.columns)
    gram = np.empty((shape.rows, shape.rows), np.float32)
    above = np.triu_indices(shape.rows)
    gram[above] = gram.T[above] = numbers
    return gram


def _int8(array: NDArray[np.float32]) -> bytes:
    exact = np.abs(array).max(axis=1) / np.float32(_MOST)
    scales = exact.astype(_FLOAT16)
    scales = np.where(scales < exact, np.nextafter(scales, _FLOAT16.type(np.inf)), scales)
    rows = np.empty(len(array), dtype=_rows(array.shape[1]))
    rows["scale"] = scales
    divisor = np.where(scales > 0, scales, 1).astype(np.float32)
    rows["codes"] = np.rint(array / divisor[:, None])
    return rows.tobytes()


def _int8_read(content: bytes, columns: int) -> NDArray[np.float32]:
    rows = np.frombuffer(content, dtype=_rows(columns))
    with np.errstate(invalid="ignore"):  # An infinite scale times 0 is NaN, which is refused as such.
        return rows["scale"].astype(np.float32)[:, None] * rows["codes"].astype(np.float32)


def _rows(columns: int) -> np.dtype[np.void]:
    return np.dtype([("scale", _FLOAT16), ("codes", np.int8, (columns,))])
