"""Reads the matrices of checkpoints whose integers stand several to a 32-bit word: GPTQ, AWQ and compressed-tensors.

All hold w = scale * (q - zero point) for groups of inputs. They keep their integers wherever a group is a run of
neighbouring inputs; a matrix whose groups were taken in order of activation is returned as floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from central.releases.packaging.block_weights import BLOCKS, BlockWeights, zero_points_or_none
from central.releases.packaging.errors import UnsupportedArchitecture

_WORD = 32
_NIBBLE, _BYTE = 4, 8
_READ = "gptq, awq gemm, compressed-tensors pack-quantized"
# Number i of an AWQ word is column _AWQ_ORDER[i] of its eight.
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


class PackedFormat(StrEnum):
    """The layouts that are read."""

    GPTQ = "gptq"
    GPTQ_V2 = "gptq_v2"
    AWQ = "gemm"
    COMPRESSED = "pack-quantized"


@dataclass(frozen=True)
class Packing:
    """How a checkpoint stores its integer matrices; `bits` is 4 or 8, and 4 for AWQ."""

    layout: PackedFormat
    bits: int

    @property
    def codes(self) -> str:
        """The part of a matrix that holds its codes."""
        return "weight_packed" if self.layout == PackedFormat.COMPRESSED else "qweight"

    @property
    def parts(self) -> frozenset[str]:
        """All the parts that a matrix may have."""
        if self.layout == PackedFormat.COMPRESSED:
            return frozenset({self.codes, "weight_scale", "weight_shape", "weight_g_idx", "bias"})
        return frozenset({self.codes, "qzeros", "scales", "g_idx", "bias"})

    @property
    def codes_in_word(self) -> int:
        """How many codes one 32-bit word holds."""
        return _WORD // self.bits


def packing_read(settings: Mapping[str, Any], *, source: str) -> Packing:
    """Return how the checkpoint at `source` with the `quantization_config` `settings` stores its matrices.

    Raises:
        UnsupportedArchitecture: by none of the ways that are read; names the way.
    """
    method, bits = settings.get("quant_method"), settings.get("bits", settings.get("w_bit"))
    if method == "compressed-tensors":
        layout, bits = str(settings.get("format")), _bits_of_groups(settings)
        is_read = layout == PackedFormat.COMPRESSED and bits in {_NIBBLE, _BYTE}
    elif method == "awq":
        layout = str(settings.get("version", PackedFormat.AWQ)).lower()
        is_read = layout == PackedFormat.AWQ and bits == _NIBBLE and settings.get("zero_point", True)
    else:
        layout = str(settings.get("checkpoint_format", PackedFormat.GPTQ)).lower()
        is_read = method == "gptq" and layout in {PackedFormat.GPTQ, PackedFormat.GPTQ_V2} and bits in {_NIBBLE, _BYTE}
    if not is_read or settings.get("pack_dtype", "int32") != "int32":
        raise UnsupportedArchitecture(
            source=source, architecture=f"quantised by {method} {layout} {bits}", supported=_READ
        )
    return Packing(layout=PackedFormat(layout), bits=int(bits))


def packed_read(parts: Mapping[str, NDArray[Any]], packing: Packing) -> BlockWeights | NDArray[np.float32]:
    """Return the matrix (out, in) stored as `parts`, as floats where its groups are not runs of inputs.

    GPTQ: `qweight` int32 (in * bits / 32, out), lowest bits first along the inputs; `qzeros` int32
    (groups, out * bits / 32), `scales` (groups, out), and `g_idx` (in), the group of each input, which may be missing.
    AWQ: `qweight` int32 (in, out / 8) and `qzeros` (groups, out / 8) in words of eight shuffled outputs, `scales`.
    compressed-tensors: `weight_packed` int32 (out, in * bits / 32) of symmetric codes, lowest bits first;
    `weight_scale` (out, groups), `weight_shape` (2) and `weight_g_idx` (in), which may be missing or -1 throughout.

    Raises:
        KeyError: a part is missing.
        ValueError: the parts do not fit one another.
    Source: AutoGPTQ's and GPTQModel's QuantLinear (checkpoint formats "gptq" and "gptq_v2"), AutoAWQ's WQLinear_GEMM,
        the compressor "pack-quantized" of compressed-tensors.
    """
    if packing.layout == PackedFormat.COMPRESSED:
        return _compressed_read(parts, packing.bits)
    scales = parts["scales"].astype(np.float32)
    words = parts["qzeros"].view(np.uint32)
    if packing.layout == PackedFormat.AWQ:
        codes, zeros = (_awq_unpack(part) for part in (parts["qweight"].view(np.uint32), words))
    else:
        codes = _unpack(parts["qweight"].view(np.uint32).T, packing.bits).T
        if packing.layout == PackedFormat.GPTQ:
            # The first format stores zero points less 1, subtracted from whole words: adding to whole words undoes it.
            words = words + np.uint32(sum(1 << shift for shift in range(0, _WORD, packing.bits)))
        zeros = _unpack(words, packing.bits)
    if zeros.shape != scales.shape or len(codes) % len(scales) or codes.shape[1] != scales.shape[1]:
        raise ValueError(f"codes {codes.shape}, zero points {zeros.shape} and scales {scales.shape} do not fit")
    return _grouped(codes.T, zeros.T, scales.T, group_of=parts.get("g_idx"), bits=packing.bits)


def _bits_of_groups(settings: Mapping[str, Any]) -> int | None:
    """Return the width of compressed-tensors' weights if it is one throughout, of symmetric integers, else None."""
    groups = [group.get("weights") or {} for group in settings.get("config_groups", {}).values()]
    widths = {group.get("num_bits") for group in groups}
    is_symmetric = all(group.get("type") == "int" and group.get("symmetric") for group in groups)
    return widths.pop() if len(widths) == 1 and is_symmetric else None


def _compressed_read(parts: Mapping[str, NDArray[Any]], bits: int) -> BlockWeights | NDArray[np.float32]:
    codes, scales = _unpack(parts["weight_packed"].view(np.uint32), bits), parts["weight_scale"].astype(np.float32)
    shape = tuple(parts["weight_shape"].tolist())
    if codes.shape != shape or len(scales) != len(codes) or codes.shape[1] % scales.shape[1]:
        raise ValueError(f"codes {codes.shape} and scales {scales.shape} do not fit {shape}")
    group_of = parts.get("weight_g_idx")
    is_in_order = group_of is None or (group_of < 0).any()
    zeros = np.full(scales.shape, 1 << (bits - 1), np.uint8)
    return _grouped(codes, zeros, scales, group_of=None if is_in_order else group_of, bits=bits)


def _grouped(
    codes: NDArray[np.uint8],
    zeros: NDArray[np.uint8],
    scales: NDArray[np.float32],
    *,
    group_of: NDArray[np.int32] | None,
    bits: int,
) -> BlockWeights | NDArray[np.float32]:
    """Return codes (out, in) with zero points and scales (out, groups) in the largest blocks that fit a group."""
    outputs, inputs = codes.shape
    size = inputs // scales.shape[1]
    block = max((block for block in BLOCKS if size % block == 0), default=0)
    runs = np.arange(inputs) // size
    groups = runs if group_of is None else group_of
    if groups.shape != runs.shape or not ((groups >= 0) & (groups < scales.shape[1])).all():
        raise ValueError(f"the groups of {inputs} inputs are not among {scales.shape[1]}")
    if block == 0 or not np.array_equal(groups, runs):
        return (codes.astype(np.float32) - zeros[:, groups]) * scales[:, groups]
    zeros = np.repeat(zeros, size // block, axis=1)
    return BlockWeights(
        bits=bits,
        block=block,
        codes=np.ascontiguousarray(codes).reshape(outputs, -1, block),
        scales=np.repeat(scales, size // block, axis=1),
        zero_points=zero_points_or_none(zeros, bits=bits),
    )


def _awq_unpack(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return codes (rows, 8 n) of words (rows, n) in the order of their columns."""
    eights = _unpack(words, _NIBBLE).reshape(len(words), -1, len(_AWQ_ORDER))
    return eights[..., np.argsort(_AWQ_ORDER)].reshape(len(words), -1)


def _unpack(words: NDArray[np.uint32], bits: int) -> NDArray[np.uint8]:
    """Return codes (rows, 32 / bits * n) of words (rows, n), the lowest bits of a word first."""
    codes = np.empty((*words.shape, _WORD // bits), np.uint8)
    for place in range(codes.shape[-1]):
        codes[..., place] = words >> np.uint32(place * bits) & np.uint32((1 << bits) - 1)
    return codes.reshape(len(words), -1)
