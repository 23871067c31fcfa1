"""Takes the integers of a GGUF matrix as they are, where blocks with one scale and one zero point can hold them.

| type | bits | block | exact |
|---|---|---|---|
| Q4_0 | 4 | 32 | always |
| Q5_0, Q8_0 | 8 | 32 | always |
| Q6_K | 8 | 16 | always; the scale is the product of the two that the file has |
| Q4_1, Q5_1, Q4_K, Q5_K | 4 or 8 | 32 | only where the offset of every block is a whole number of its scales |

The last four hold w = scale * q + offset with an offset of its own in each block. A zero point is an integer, so an
offset between two multiples of the scale would be rounded: nothing is returned then, and the caller takes the floats.
Source of the layouts: ggml-common.h and ggml-quants.c of ggml.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from central.releases.packaging.block_weights import BlockWeights, zero_points_or_none

Bytes = NDArray[np.uint8]
_ZERO = 128
_LOW = np.uint8(15)
_NIBBLE = np.uint8(4)
_SUB_BLOCKS = 8


def gguf_blocks(data: Bytes, kind: GGMLQuantizationType) -> BlockWeights | None:
    """Return the weights of the matrix `data`, (out, bytes of a row), or None where they cannot be held exactly."""
    reader = _READERS.get(kind)
    return None if reader is None else reader(data)


def _q4_0(data: Bytes) -> BlockWeights:
    raw = data.reshape(len(data), -1, 18)
    codes = _halves(raw[..., 2:])
    return BlockWeights(bits=4, block=32, codes=codes, scales=_float(raw[..., 0:2]))


def _q5_0(data: Bytes) -> BlockWeights:
    raw = data.reshape(len(data), -1, 22)
    codes = _halves(raw[..., 6:]) | _fifth_bits(raw[..., 2:6])
    return BlockWeights(bits=8, block=32, codes=codes + np.uint8(_ZERO - 16), scales=_float(raw[..., 0:2]))


def _q8_0(data: Bytes) -> BlockWeights:
    raw = data.reshape(len(data), -1, 34)
    # Two's complement with its sign bit turned is the number plus 128.
    return BlockWeights(bits=8, block=32, codes=raw[..., 2:] ^ np.uint8(_ZERO), scales=_float(raw[..., 0:2]))


def _q6_k(data: Bytes) -> BlockWeights:
    rows = len(data)
    raw = data.reshape(rows, -1, 210)
    low = raw[..., :128].reshape(rows, -1, 2, 1, 64) >> np.array([0, 4], np.uint8)[:, None] & _LOW
    high = raw[..., 128:192].reshape(rows, -1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & np.uint8(3)
    codes = low.reshape(rows, -1, 16) | high.reshape(rows, -1, 16) << _NIBBLE
    scales = raw[..., 192:208].view(np.int8) * _float(raw[..., 208:210])[..., None]
    return BlockWeights(bits=8, block=16, codes=codes + np.uint8(_ZERO - 32), scales=scales.reshape(rows, -1))


def _q4_1(data: Bytes) -> BlockWeights | None:
    raw = data.reshape(len(data), -1, 20)
    return _affine(_float(raw[..., 0:2]), _float(raw[..., 2:4]), lambda: _halves(raw[..., 4:]))


def _q5_1(data: Bytes) -> BlockWeights | None:
    raw = data.reshape(len(data), -1, 24)
    return _affine(
        _float(raw[..., 0:2]), _float(raw[..., 2:4]), lambda: _halves(raw[..., 8:]) | _fifth_bits(raw[..., 4:8])
    )


def _q4_k(data: Bytes) -> BlockWeights | None:
    raw = data.reshape(len(data), -1, 144)
    scales, offsets = _super_block(raw)
    return _affine(scales, offsets, lambda: _quarters(raw[..., 16:]))


def _q5_k(data: Bytes) -> BlockWeights | None:
    raw = data.reshape(len(data), -1, 176)
    scales, offsets = _super_block(raw)
    return _affine(scales, offsets, lambda: _quarters(raw[..., 48:]) | _fifth_bits_of_super_block(raw[..., 16:48]))


_READERS: dict[GGMLQuantizationType, Callable[[Bytes], BlockWeights | None]] = {
    GGMLQuantizationType.Q4_0: _q4_0,
    GGMLQuantizationType.Q4_1: _q4_1,
    GGMLQuantizationType.Q5_0: _q5_0,
    GGMLQuantizationType.Q5_1: _q5_1,
    GGMLQuantizationType.Q8_0: _q8_0,
    GGMLQuantizationType.Q4_K: _q4_k,
    GGMLQuantizationType.Q5_K: _q5_k,
    GGMLQuantizationType.Q6_K: _q6_k,
}


def _affine(
    scales: NDArray[np.float32], offsets: NDArray[np.float32], codes_read: Callable[[], Bytes]
) -> BlockWeights | None:
    """Return scale * q + offset, both (out, in / 32), as scale * (q - zero point), or None where that is not exact.

    Both have at most 17 significant bits and a zero point 8, so that float64 tells exactly whether they agree.
    """
    steps = scales.astype(np.float64)
    zeros = np.rint(np.divide(-offsets.astype(np.float64), steps, out=np.zeros_like(steps), where=steps != 0))
    is_exact = (zeros * steps == -offsets) & (zeros >= 0) & (zeros <= np.iinfo(np.uint8).max)
    if not is_exact.all():
        return None
    codes, zero_points = codes_read(), zeros.astype(np.uint8)
    bits = 4 if max(codes.max(), zero_points.max()) <= _LOW else 8
    return BlockWeights(
        bits=bits, block=32, codes=codes, scales=scales, zero_points=zero_points_or_none(zero_points, bits=bits)
    )


def _super_block(raw: Bytes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scales and offsets (out, in / 32) of the head of Q4_K and Q5_K: two halves, then eight pairs of 6 bits."""
    first, second, third = (raw[..., start : start + 4] for start in (4, 8, 12))
    scales = np.concatenate([first & 63, (third & _LOW) | (first >> 6 << 4)], axis=-1)
    minima = np.concatenate([second & 63, (third >> 4) | (second >> 6 << 4)], axis=-1)
    rows = len(raw)
    return (
        (scales * _float(raw[..., 0:2])[..., None]).reshape(rows, -1),
        -(minima * _float(raw[..., 2:4])[..., None]).reshape(rows, -1),
    )


def _float(raw: Bytes) -> NDArray[np.float32]:
    """Return the (out, blocks) half-precision numbers of (out, blocks, 2) bytes."""
    return np.ascontiguousarray(raw).view(np.float16)[..., 0].astype(np.float32)


def _halves(raw: Bytes) -> Bytes:
    """Return 32 numbers of each 16 bytes: the low halves, then the high ones."""
    return np.concatenate([raw & _LOW, raw >> _NIBBLE], axis=-1)


def _quarters(raw: Bytes) -> Bytes:
    """Return (out, in / 32, 32) numbers of 128 bytes a super-block: each 32 bytes hold two blocks, low then high."""
    return _halves(raw.reshape(len(raw), -1, 32)).reshape(len(raw), -1, 32)


def _fifth_bits(raw: Bytes) -> Bytes:
    """Return 16 or 0 for each of the 32 bits, lowest first, of 4 bytes."""
    return np.unpackbits(raw, axis=-1, bitorder="little") << _NIBBLE


def _fifth_bits_of_super_block(raw: Bytes) -> Bytes:
    """Return 16 or 0, (out, in / 32, 32): bit b of byte i belongs to number i of block b."""
    bits = raw[..., None, :] >> np.arange(_SUB_BLOCKS, dtype=np.uint8)[:, None] & np.uint8(1)
    return (bits << _NIBBLE).reshape(len(raw), -1, 32)
