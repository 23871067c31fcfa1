"""Matrices of small integers with a scale for each block of inputs, as MatMulNBits holds them.

Every restatement here keeps each weight bit for bit, or is refused. It knows neither files nor graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

BLOCKS = (16, 32, 64, 128, 256)
_NIBBLE = 4
_BYTE = 8
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class BlockWeights:
    """A matrix (out, in) whose weight is scale * (code - zero point).

    `bits` is 4 or 8. `codes` is uint8 (out, in / block, block), one code a byte; `scales` is float32 (out, in / block);
    `zero_points` is uint8 (out, in / block), or None for the middle of the codes: 8 for 4 bits, 128 for 8 bits.

    Raises:
        ValueError: the arrays and the numbers do not fit one another.
    """

    bits: int
    block: int
    codes: NDArray[np.uint8]
    scales: NDArray[np.float32]
    zero_points: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        blocks = self.codes.shape[:2]
        zeros = self.scales if self.zero_points is None else self.zero_points
        if self.bits not in (_NIBBLE, _BYTE) or self.block not in BLOCKS:
            raise ValueError(f"{self.bits} bits in blocks of {self.block} are not what MatMulNBits takes")
        if self.codes.shape != (*blocks, self.block) or self.scales.shape != blocks or zeros.shape != blocks:
            raise ValueError(f"codes {self.codes.shape}, scales {self.scales.shape} and zero points differ")
        if self.codes.dtype != np.uint8 or self.scales.dtype != np.float32:
            raise ValueError("codes are uint8 and scales are float32")

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs."""
        outputs, blocks, block = self.codes.shape
        return outputs, blocks * block

    @property
    def zeros(self) -> NDArray[np.uint8]:
        """The zero points (out, in / block), the middle of the codes where none are stored."""
        if self.zero_points is None:
            return np.full(self.scales.shape, 1 << (self.bits - 1), np.uint8)
        return self.zero_points

    def dequantise(self) -> NDArray[np.float32]:
        """Return the weights as float32 (out, in): one rounding each, that of the product."""
        values = np.empty(self.codes.shape, np.float32)
        for start in range(0, len(values), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            np.multiply(self.steps(part), self.scales[part, :, None], out=values[part])
        return values.reshape(self.shape)

    def rows(self, which: slice | Sequence[int]) -> BlockWeights:
        """Return the weights of the outputs `which`, in that order."""
        zeros = None if self.zero_points is None else self.zero_points[which]
        return replace(self, codes=self.codes[which], scales=self.scales[which], zero_points=zeros)

    def widen(self, *, bits: int = _BYTE, block: int | None = None) -> BlockWeights:
        """Return the same weights in `bits` and in blocks of `block` (default: as they are).

        A smaller block repeats its scale; a larger one is made where the scales and zero points of its parts are equal.

        Raises:
            ValueError: those weights cannot be held exactly.
        """
        wider = self if bits == self.bits else _in_bytes(self, bits)
        return wider if block is None or block == wider.block else _in_blocks(wider, block)

    def packed(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return codes (out, in / block, block * bits / 8) and zero points (out, ceil(in / block * bits / 8)) in bytes.

        Two 4-bit numbers share a byte, the first in its low half; an odd row of zero points ends in half a byte of 0.
        Source: the contrib operator MatMulNBits of ONNX Runtime (docs/ContribOperators.md).
        """
        if self.bits == _BYTE:
            return self.codes, self.zero_points
        return _pair(self.codes), None if self.zero_points is None else _pair(self.zero_points)

    @classmethod
    def unpack(
        cls,
        *,
        bits: int,
        block: int,
        codes: NDArray[np.uint8],
        scales: NDArray[np.float32],
        zero_points: NDArray[np.uint8] | None,
    ) -> Self:
        """Return the weights whose `packed` codes and zero points these are."""
        if bits == _NIBBLE:
            codes = _split(codes)
            zero_points = None if zero_points is None else _split(zero_points)[:, : scales.shape[1]]
        return cls(bits=bits, block=block, codes=codes, scales=scales, zero_points=zero_points)

    def steps(self, part: slice) -> NDArray[np.int16]:
        """Return code less zero point, (n, in / block, block), of the n outputs `part`."""
        middle = 1 << (self.bits - 1) if self.zero_points is None else self.zero_points[part, :, None].astype(np.int16)
        return self.codes[part].astype(np.int16) - middle


def concatenate(parts: Sequence[BlockWeights]) -> BlockWeights:
    """Return one matrix with the outputs of all `parts` in order, in the most bits and the smallest block of any.

    Raises:
        ValueError: the parts differ in inputs.
    """
    bits, block = max(part.bits for part in parts), min(part.block for part in parts)
    alike = [part.widen(bits=bits, block=block) for part in parts]
    has_zeros = any(part.zero_points is not None for part in alike)
    return BlockWeights(
        bits=bits,
        block=block,
        codes=np.concatenate([part.codes for part in alike]),
        scales=np.concatenate([part.scales for part in alike]),
        zero_points=np.concatenate([part.zeros for part in alike]) if has_zeros else None,
    )


def zero_points_or_none(zero_points: NDArray[np.uint8], *, bits: int) -> NDArray[np.uint8] | None:
    """Return `zero_points`, or None where every one is the middle of the codes, which needs no storing."""
    return None if (zero_points == 1 << (bits - 1)).all() else zero_points


def _in_bytes(weights: BlockWeights, bits: int) -> BlockWeights:
    if (weights.bits, bits) != (_NIBBLE, _BYTE):
        raise ValueError(f"{weights.bits} bits cannot become {bits}")
    codes = np.empty_like(weights.codes)
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        codes[part] = weights.steps(part) + 128
    return replace(weights, bits=bits, codes=codes, zero_points=None)


def _in_blocks(weights: BlockWeights, block: int) -> BlockWeights:
    outputs, inputs = weights.shape
    if block not in BLOCKS or inputs % block:
        raise ValueError(f"{inputs} inputs do not divide into blocks of {block}")
    codes = weights.codes.reshape(outputs, inputs // block, block)
    scales = _reblock(weights.scales, old=weights.block, new=block)
    zeros = None if weights.zero_points is None else _reblock(weights.zero_points, old=weights.block, new=block)
    return replace(weights, block=block, codes=codes, scales=scales, zero_points=zeros)


def _reblock(values: NDArray[Any], *, old: int, new: int) -> NDArray[Any]:
    """Return one value (out, in / new) for each new block of those (out, in / old) of the old ones."""
    if new < old:
        return np.repeat(values, old // new, axis=1)
    groups = values.reshape(len(values), -1, new // old)
    if (groups != groups[..., :1]).any():
        raise ValueError(f"blocks of {old} differ, so that they cannot become blocks of {new}")
    return np.ascontiguousarray(groups[..., 0])


def _pair(nibbles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (..., n) numbers below 16 as (..., ceil(n / 2)) bytes, the first in the low half."""
    if nibbles.shape[-1] % 2:
        nibbles = np.concatenate([nibbles, np.zeros_like(nibbles[..., :1])], axis=-1)
    high: NDArray[np.uint8] = nibbles[..., 1::2] << np.uint8(_NIBBLE)
    return nibbles[..., 0::2] | high


def _split(pairs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (..., 2 n) numbers below 16 of (..., n) bytes."""
    return np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(*pairs.shape[:-1], -1)
