"""The frozen half of every adapter: which matrix A a seed and a slot name (FFA-LoRA).

`federation.inference.adapter` expands an adapter with it and `federation.learning` trains under it; neither may import
the other, so it stands here, below both. It knows NumPy and hashlib and nothing of the federation.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["frozen_a"]


def frozen_a(*, seed: str, slot: str, d_in: int, rank: int) -> NDArray[np.float32]:
    """Return the frozen A of `slot`, float32 (d_in, rank), each entry +1/sqrt(rank) or -1/sqrt(rank).

    The signs are the bits of SHAKE-256 over the seed, a zero byte and the slot's name, lowest bit of each byte first,
    row by row; so every school and the centre hold the same A on any machine without sending it. A slot's output
    becomes `W x + (x @ A) @ B`.

    Source: Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning" (FFA-LoRA), section 4.
    """
    signs_wanted = d_in * rank
    digest = hashlib.shake_256(seed.encode() + b"\0" + slot.encode()).digest((signs_wanted + 7) // 8)
    bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8), bitorder="little")[:signs_wanted]
    signs = bits.astype(np.float32) * 2 - 1
    return (signs / np.float32(math.sqrt(rank))).reshape(d_in, rank)
