"""Writes a prepared checkpoint's weights as they come: all as floats, and the integers that there were beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from central.releases.packaging.block_weights import BlockWeights
from central.releases.packaging.kept_weights import KeptWriter
from central.releases.packaging.tensor_shards import SHARD_BYTES, TensorShards

# A float matrix may come as a tensor in its own type; integers come as blocks, and as floats where no block holds them.
Weight = BlockWeights | NDArray[np.float32] | torch.Tensor

_LARGE = 2_000_000_000
_ROWS_AT_ONCE = 8192


def float_type(weights: int) -> torch.dtype:
    """Return the type for the floats of a quantised checkpoint: half the bytes from 2 billion `weights` on."""
    return torch.bfloat16 if weights >= _LARGE else torch.float32


def weights_write(
    weights: Iterable[tuple[str, Weight]],
    *,
    into: Path,
    dtype: torch.dtype | None,
    digest: str,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Leave `weights`, by their transformers names, in `into`: the floats in `dtype`, or as they are where it is None.

    Matrices of integers are left twice, as floats and as integers of the checkpoint `digest`.
    """
    with (
        TensorShards(into, "model", shard_bytes=shard_bytes) as floats,
        KeptWriter(into, digest=digest, shard_bytes=shard_bytes) as kept,
    ):
        for name, weight in weights:
            if isinstance(weight, BlockWeights):
                kept.put(name, weight)
            floats.put({name: _floats(weight, dtype)})


def _floats(weight: Weight, dtype: torch.dtype | None) -> torch.Tensor:
    if isinstance(weight, torch.Tensor):
        return weight if dtype is None else weight.to(dtype)
    if isinstance(weight, BlockWeights):
        return _dequantised(weight, dtype or torch.float32)
    # Torch wants memory that it may write, which a mapped file is not.
    return torch.from_numpy(np.require(weight, requirements=["C", "W"])).to(dtype or torch.float32)


def _dequantised(weight: BlockWeights, dtype: torch.dtype) -> torch.Tensor:
    """Return the weights in `dtype`, by pieces: the float32 form of a large embedding alone would take gigabytes."""
    values = torch.empty(weight.shape, dtype=dtype)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        values[part] = torch.from_numpy(weight.rows(part).dequantise())
    return values
