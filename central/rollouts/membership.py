"""Which wave a node belongs to: the first that names its school, or whose share its place falls into.

A node's place within a rollout is a hash of both, so that the first wave is never the same schools twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveScope:
    """Whom a wave is for: schools by id, or all nodes whose place is below `percent` (so shares are cumulative)."""

    number: int
    school_ids: frozenset[int]
    percent: int


def node_place(*, node_id: str, rollout_id: int) -> float:
    """Return the node's place in the rollout, a number from 0 to under 100."""
    digest = hashlib.sha256(f"{rollout_id}|{node_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100


def wave_of(*, node_id: str, school_id: int, rollout_id: int, waves: Sequence[WaveScope]) -> int | None:
    """Return the number of the node's wave, or None where no wave is for it."""
    place = node_place(node_id=node_id, rollout_id=rollout_id)
    for wave in sorted(waves, key=lambda scope: scope.number):
        if school_id in wave.school_ids or place < wave.percent:
            return wave.number
    return None
