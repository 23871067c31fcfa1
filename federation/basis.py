"""The factors of an adapter, and which of them a seed and a slot name (FFA-LoRA, Fed-SB).

`federation.inference` expands an adapter with them and `federation.learning` trains under them; neither may import the
other, so they stand here, below both. It knows NumPy and hashlib and nothing of the federation.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AdapterFactors", "SlotSize", "frozen_a", "frozen_b"]


@dataclass(frozen=True, slots=True)
class SlotSize:
    """How many numbers go into a slot and come out of it."""

    d_in: int
    d_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFactors:
    """An adapter's factors by slot, float32; a slot's output becomes `W x + (x @ A) @ B`."""

    a: Mapping[str, NDArray[np.float32]] | None
    """(d_in, rank); None: the frozen A of the seed."""
    b: Mapping[str, NDArray[np.float32]]
    """(rank, d_out)."""


def frozen_a(*, seed: str, slot: str, d_in: int, rank: int) -> NDArray[np.float32]:
    """Return the frozen A of `slot`, float32 (d_in, rank), each entry +1/sqrt(rank) or -1/sqrt(rank).

    The signs are the bits of SHAKE-256 over the seed, a zero byte and the slot's name, lowest bit of each byte first,
    row by row; so every school and the centre hold the same A on any machine without sending it. A slot's output
    becomes `W x + (x @ A) @ B`.

    Source: Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning" (FFA-LoRA), section 4.
    """
    return _signs(f"{seed}\0{slot}", d_in, rank) / np.float32(math.sqrt(rank))


def frozen_b(*, seed: str, slot: str, rank: int, d_out: int) -> NDArray[np.float32]:
    """Return the frozen B of `slot` that Fed-SB learns a core before, float32 (rank, d_out), entries ±1/sqrt(d_out).

    Drawn as A is, with a zero byte and `b` after the slot's name. Its rows are of length 1 and nearly at right angles,
    so the B = C @ frozen B that is served is about as long as the core C.

    Source: Singhal et al. 2025, "Fed-SB", section 3, with a random basis where they take the first gradient's.
    """
    return _signs(f"{seed}\0{slot}\0b", rank, d_out) / np.float32(math.sqrt(d_out))


def _signs(name: str, rows: int, columns: int) -> NDArray[np.float32]:
    wanted = rows * columns
    digest = hashlib.shake_256(name.encode()).digest((wanted + 7) // 8)
    bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8), bitorder="little")[:wanted]
    return (bits.astype(np.float32) * 2 - 1).reshape(rows, columns)
