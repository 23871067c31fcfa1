"""The arrays of an update as bytes, in either precision (protocol §6.3).

float16: each array row by row, little-endian. int8: for each row one float16 scale, then the row as int8. The scale is
the row's largest magnitude / 127, rounded up to the next float16, so no number moves by more than half a scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from federation.learning.schemes.contribution import ArrayName
from federation.wire.rounds import ArrayShape, Precision

LARGEST = float(np.finfo(np.float16).max)
"""No array of an update holds a number beyond this."""
_FLOAT16 = np.dtype("<f2")
_MOST = 127


def body_write(arrays: Iterable[NDArray[np.float32]], precision: Precision) -> bytes:
    """Return the matrices `arrays`, whose numbers are finite and at most `LARGEST`, one after the other."""
    encode = _int8 if precision is Precision.INT8 else _float16
    return b"".join(encode(array) for array in arrays)


def body_size(shapes: Sequence[ArrayShape], precision: Precision) -> int:
    """Return the bytes of a body of these `shapes`, or -1 where no body can have them."""
    if any(shape.rows < 0 or shape.columns < 0 for shape in shapes):
        return -1
    return sum(_size(shape, precision) for shape in shapes)


def body_read(body: bytes, shapes: Sequence[ArrayShape], precision: Precision) -> dict[ArrayName, NDArray[np.float32]]:
    """Return the arrays of a body of `body_size` bytes; what is no number there is none here."""
    decode = _int8_read if precision is Precision.INT8 else _float16_read
    arrays: dict[ArrayName, NDArray[np.float32]] = {}
    start = 0
    for shape in shapes:
        end = start + _size(shape, precision)
        arrays[shape.slot, shape.factor] = decode(body[start:end], shape)
        start = end
    return arrays


def _size(shape: ArrayShape, precision: Precision) -> int:
    row = _FLOAT16.itemsize + shape.columns if precision is Precision.INT8 else shape.columns * _FLOAT16.itemsize
    return shape.rows * row


def _float16(array: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(array, dtype=_FLOAT16).tobytes()


def _float16_read(content: bytes, shape: ArrayShape) -> NDArray[np.float32]:
    return np.frombuffer(content, dtype=_FLOAT16).astype(np.float32).reshape(shape.rows, shape.columns)


def _int8(array: NDArray[np.float32]) -> bytes:
    exact = np.abs(array).max(axis=1) / np.float32(_MOST)
    scales = exact.astype(_FLOAT16)
    scales = np.where(scales < exact, np.nextafter(scales, _FLOAT16.type(np.inf)), scales)
    rows = np.empty(len(array), dtype=_rows(array.shape[1]))
    rows["scale"] = scales
    divisor = np.where(scales > 0, scales, 1).astype(np.float32)
    rows["codes"] = np.rint(array / divisor[:, None])
    return rows.tobytes()


def _int8_read(content: bytes, shape: ArrayShape) -> NDArray[np.float32]:
    rows = np.frombuffer(content, dtype=_rows(shape.columns))
    with np.errstate(invalid="ignore"):  # An infinite scale times 0 is NaN, which is refused as such.
        return rows["scale"].astype(np.float32)[:, None] * rows["codes"].astype(np.float32)


def _rows(columns: int) -> np.dtype[np.void]:
    return np.dtype([("scale", _FLOAT16), ("codes", np.int8, (columns,))])
