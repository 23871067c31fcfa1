"""Matrices that stay as the package holds them: small integers or floats, mapped from the file, never copied whole.

A matrix is (outputs, inputs). Its numbers become float32 a piece at a time, only for as long as a product needs them,
and the backward pass makes them again; so a training costs the package's size and not four times as much. What comes
out is `(code - zero point) * scale`, bit for bit what the serving graph's operators compute with.

Source: ONNX Runtime's contrib operators, MatMulNBits and GatherBlockQuantized.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

_WHOLE_BYTE = 8
# So many numbers at once stay in a processor's second cache through the three steps that they take.
_PIECE_NUMBERS = 1 << 18
# A matrix of more numbers than this is multiplied piece by piece; only heads are as large.
_PRODUCT_NUMBERS = 1 << 23


class PackedMatrix(Protocol):
    """A frozen matrix (outputs, inputs) in some stored form."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return (outputs, inputs)."""

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to before `stop` as float32."""

    def pick(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows `ids` (n,) as float32 (n, inputs)."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockMatrix:
    """Codes of 4 or 8 bits in blocks along the inputs, each block with its scale and its zero point.

    `codes` is uint8 (outputs, bytes), low nibble first; `scales` (outputs, blocks); `zeros` the same shape, None for
    2^(bits - 1).
    """

    codes: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor | None
    bits: int

    @property
    def shape(self) -> tuple[int, int]:
        """Return (outputs, inputs)."""
        return len(self.codes), self.codes.shape[1] * (_WHOLE_BYTE // self.bits)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to before `stop` as float32."""
        piece = slice(start, stop)
        return self._values(self.codes[piece], self.scales[piece], None if self.zeros is None else self.zeros[piece])

    def pick(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows `ids` (n,) as float32 (n, inputs)."""
        return self._values(self.codes[ids], self.scales[ids], None if self.zeros is None else self.zeros[ids])

    def _values(self, codes: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None) -> torch.Tensor:
        values = codes_unpack(codes, self.bits).to(torch.float32).view(*scales.shape, -1)
        values -= float(1 << (self.bits - 1)) if zeros is None else zeros[..., None]
        values *= scales[..., None]
        return values.view(len(codes), -1)


@dataclass(frozen=True, slots=True, eq=False)
class FloatMatrix:
    """Plain floats of any width, `stored` (outputs, inputs) in whatever strides; `scales` are one for each output."""

    stored: torch.Tensor
    scales: torch.Tensor | None

    @property
    def shape(self) -> tuple[int, int]:
        """Return (outputs, inputs)."""
        return len(self.stored), self.stored.shape[1]

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to before `stop` as float32."""
        return self._values(self.stored[start:stop], None if self.scales is None else self.scales[start:stop])

    def pick(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows `ids` (n,) as float32 (n, inputs)."""
        # Torch cannot index numbers of 8 bits, but their bytes.
        stored = self.stored.view(torch.uint8)[ids].view(self.stored.dtype) if self._is_byte else self.stored[ids]
        return self._values(stored, None if self.scales is None else self.scales[ids])

    @property
    def _is_byte(self) -> bool:
        return self.stored.dtype.itemsize == 1

    def _values(self, stored: torch.Tensor, scales: torch.Tensor | None) -> torch.Tensor:
        values = stored.to(torch.float32)
        return values if scales is None else values * scales[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class MatrixPart:
    """The `count` rows of `whole` from `first` on."""

    whole: PackedMatrix
    first: int
    count: int

    @property
    def shape(self) -> tuple[int, int]:
        """Return (outputs, inputs)."""
        return self.count, self.whole.shape[1]

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to before `stop` as float32."""
        return self.whole.rows(self.first + start, self.first + stop)

    def pick(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows `ids` (n,) as float32 (n, inputs)."""
        return self.whole.pick(ids + self.first)


class StackedMatrix:
    """The rows of several matrices one after another, each in its own form."""

    def __init__(self, parts: Sequence[PackedMatrix]) -> None:
        """`parts` have the same number of inputs."""
        self._parts = tuple(parts)
        self._starts = (0, *itertools.accumulate(part.shape[0] for part in parts))

    @property
    def shape(self) -> tuple[int, int]:
        """Return (outputs, inputs)."""
        return self._starts[-1], self._parts[0].shape[1]

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to before `stop` as float32."""
        pieces = [
            part.rows(max(start, first) - first, min(stop, behind) - first)
            for part, first, behind in self._placed()
            if max(start, first) < min(stop, behind)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def pick(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows `ids` (n,) as float32 (n, inputs)."""
        picked = torch.empty(len(ids), self.shape[1])
        for part, first, behind in self._placed():
            own = (ids >= first) & (ids < behind)
            picked[own] = part.pick(ids[own] - first)
        return picked

    def _placed(self) -> Iterator[tuple[PackedMatrix, int, int]]:
        return zip(self._parts, self._starts, self._starts[1:], strict=False)


class PackedLinear(nn.Module):
    """`W x` for a packed W; takes the dtype of `x`, learns nothing and passes gradients on."""

    def __init__(self, matrix: PackedMatrix) -> None:
        """Multiply by `matrix`."""
        super().__init__()
        self.matrix = matrix
        self.out_features, self.in_features = matrix.shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (…, outputs) in the dtype of `x`."""
        product: torch.Tensor = _Product.apply(x, self.matrix)
        return product


class PackedEmbedding(nn.Module):
    """The rows of a packed table by token id, times `scale`, in `dtype`."""

    def __init__(self, matrix: PackedMatrix, *, scale: float, dtype: torch.dtype) -> None:
        """Look up in `matrix` (words, hidden)."""
        super().__init__()
        self.matrix, self._dtype = matrix, dtype
        # In the embedding's own type, as Gemma's reference does it.
        self._scale = torch.tensor(scale, dtype=dtype)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return (…, hidden)."""
        rows = self.matrix.pick(ids.reshape(-1)).to(self._dtype)
        return (rows * self._scale).view(*ids.shape, -1)


class _Product(torch.autograd.Function):
    """Keeps no dense weight for the backward pass: it is made again."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, matrix: PackedMatrix) -> torch.Tensor:  # noqa: ANN401 - torch's own context
        ctx.matrix = matrix
        product = x.new_empty(*x.shape[:-1], matrix.shape[0])
        for start, weight in matrix_pieces(matrix, x.dtype):
            product[..., start : start + len(weight)] = functional.linear(x, weight)
        return product

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401 - torch's own context
        total = gradient.new_zeros(*gradient.shape[:-1], ctx.matrix.shape[1])
        for start, weight in matrix_pieces(ctx.matrix, gradient.dtype):
            total += gradient[..., start : start + len(weight)] @ weight
        return total, None


def matrix_pieces(matrix: PackedMatrix, dtype: torch.dtype) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the matrix in `dtype` in pieces of whole rows, each with its first row."""
    outputs, inputs = matrix.shape
    at_once = max(1, _PRODUCT_NUMBERS // inputs)
    for start in range(0, outputs, at_once):
        yield start, matrix_dense(matrix, start, min(start + at_once, outputs), dtype)


def matrix_dense(matrix: PackedMatrix, start: int, stop: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the rows from `start` to before `stop` in `dtype`."""
    inputs = matrix.shape[1]
    dense = torch.empty(stop - start, inputs, dtype=dtype)
    at_once = max(1, _PIECE_NUMBERS // inputs)
    for first in range(start, stop, at_once):
        behind = min(first + at_once, stop)
        dense[first - start : behind - start] = matrix.rows(first, behind)
    return dense


def codes_unpack(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Return codes of `bits` as one uint8 each, (rows, codes); of two in one byte the low half comes first."""
    if bits == _WHOLE_BYTE:
        return packed
    pairs = torch.stack([packed & 0x0F, packed >> 4], dim=-1)
    return pairs.view(len(packed), -1)
