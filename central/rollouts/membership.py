"""Which wave a node belongs to: the first that names its school, or under whose bound its place falls. Pure.

A node's place within a rollout is a hash of both, so that the first wave is never the same schools twice. Shares and
counts of nodes become bounds of places once, when the rollout starts; from then on a node's wave depends on nothing but
itself, however many others come or go.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

PLACES = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveScope:
    """Whom a wave is for: schools by id, and all nodes whose place is below `place_below`."""

    number: int
    school_ids: frozenset[int] = frozenset()
    place_below: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSize:
    """How large a wave was asked to be: a cumulative share in percent, or so many more nodes; neither for a list."""

    number: int
    percent: int = 0
    count: int = 0


def node_place(*, node_id: str, rollout_id: int) -> float:
    """Return the node's place in the rollout, a number from 0 to under 100."""
    digest = hashlib.sha256(f"{rollout_id}|{node_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * PLACES


def wave_bounds(sizes: Sequence[WaveSize], *, places: Sequence[float]) -> dict[int, float]:
    """Return by number below which place each wave's nodes lie, given the places of those that no list names.

    A share counts from 0, so 10% and then 100% are everybody; a count goes on after the wave before it.
    """
    ordered, below = sorted(places), 0.0
    bounds = {}
    for size in sorted(sizes, key=lambda each: each.number):
        if size.count:
            end = bisect_left(ordered, below) + size.count
            below = ordered[end] if end < len(ordered) else PLACES
        below = max(below, float(size.percent))
        bounds[size.number] = below
    return bounds


def wave_of(*, node_id: str, school_id: int, rollout_id: int, waves: Sequence[WaveScope]) -> int | None:
    """Return the number of the node's wave, or None where no wave is for it."""
    ordered = sorted(waves, key=lambda scope: scope.number)
    # A school that a later wave names is not taken by an earlier wave's share: whoever listed it meant that wave.
    for wave in ordered:
        if school_id in wave.school_ids:
            return wave.number
    place = node_place(node_id=node_id, rollout_id=rollout_id)
    return next((wave.number for wave in ordered if place < wave.place_below), None)


def wave_of_late(
    *, planned: int | None, opened: frozenset[int], counted: frozenset[int], listed: frozenset[int]
) -> int | None:
    """Return the wave of a node that enrolled after the start, or None while it waits.

    `planned` is its wave by its school or its place, `opened` are the numbers of the waves that have opened, `counted`
    and `listed` those of waves of so many nodes, and of named schools. It joins its own wave if that has opened, else
    the last open one. A wave of so many nodes stays as large as it was approved, a list as it was written.
    """
    if planned in opened and planned not in counted:
        return planned
    last = max(opened, default=None)
    return None if planned is None or last in counted | listed else last
