"""Combine the updates of schools into one adapter, so that each school's own questions keep the answers learnt there.

Under FFA-LoRA every school shares the frozen A, so z = x A means the same at every school, and B is learnt in one
common linear space. There the best single B is a least-squares problem with a closed form: minimise, over the schools
and with their weights, the change of z B on each school's own z, plus a ridge that pulls every direction which no
school looked at towards the weighted mean. It needs only sums over schools of G and G B, where G = zᵀz is the school's
Gram matrix, so it is exact, does not depend on the order, and with an endless ridge it is the weighted mean itself. The
plain mean waters a correction down by the number of schools, and lets corrections with similar words spoil each other.

NumPy only; it knows no disk, no network and no model.

Source: Jin et al. 2023, "Dataless knowledge fusion by merging weights of language models" (RegMean), equation 2; Sun et
al. 2024 (FFA-LoRA); Nguyen et al. 2022 (FedBuff) for staleness.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federation.errors import WireError

RIDGE = 0.1
"""In units of a Gram matrix's mean eigenvalue, which is 1."""
LONGEST = 2.0


class NothingToAggregate(WireError):
    """No update carries any weight."""

    code = "nothing_to_aggregate"


class ContributionMismatch(WireError):
    """A contribution's arrays are not those of the first: a slot is missing or extra, or a shape differs."""

    code = "contribution_mismatch"


class ContributionNotFinite(WireError):
    """A contribution holds NaN or infinity."""

    code = "contribution_not_finite"


class ContributionUnweighable(WireError):
    """A contribution's labels or staleness is negative."""

    code = "contribution_unweighable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One school's update; by slot float32 `b` (rank, d_out) and `grams` (rank, rank), each of trace rank."""

    node_id: str
    labels: int
    staleness: int
    """How many adapters the centre has made since the plan that this update answers; 0 is fresh."""
    b: Mapping[str, NDArray[np.float32]]
    grams: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """The adapter's B, float32 (rank, d_out) by slot, and how it came about: weights sum to 1, in the order given."""

    b: Mapping[str, NDArray[np.float32]]
    weights: tuple[float, ...]
    norms: tuple[float, ...]
    """Each contribution's L2 norm before clipping."""
    norm: float
    """The adapter's own."""


def aggregate(
    contributions: Sequence[Contribution],
    *,
    max_norm: float,
    max_labels: int,
    server_scale: float = 1.0,
    ridge: float = RIDGE,
) -> Aggregate:
    """Return `server_scale` times the least-squares fusion of `contributions`, each clipped to L2 norm `max_norm`.

    For each slot B = (Σ w (G + ridge I))⁻¹ Σ w (G + ridge I) B_school, where w is min(labels, max_labels) /
    sqrt(1 + staleness). The fusion is at most `LONGEST` times as long as the clipped updates laid end to end: schools
    that contradict each other cannot blow it up. A `server_scale` below 1 holds every correction back alike.

    Raises:
        NothingToAggregate: there is no contribution, or all have weight 0.
        ContributionMismatch, ContributionNotFinite, ContributionUnweighable: names the node.
    """
    for contribution in contributions:
        _judge(contribution, contributions[0])
    raw = [min(c.labels, max_labels) / math.sqrt(1 + c.staleness) for c in contributions]
    total = sum(raw)
    if total <= 0:
        raise NothingToAggregate(contributions=len(contributions))
    weights = tuple(weight / total for weight in raw)
    norms = tuple(_norm(c.b.values()) for c in contributions)
    shares = [min(1.0, max_norm / norm) if norm > 0 else 1.0 for norm in norms]
    fused = {slot: _fuse(contributions, weights, shares, slot, ridge) for slot in contributions[0].b}
    longest = LONGEST * sum(share * norm for share, norm in zip(shares, norms, strict=True))
    length = _norm(fused.values())
    factor = server_scale * (min(1.0, longest / length) if length > 0 else 1.0)
    b = {slot: (array * factor).astype(np.float32) for slot, array in fused.items()}
    return Aggregate(b=b, weights=weights, norms=norms, norm=factor * length)


def _fuse(
    contributions: Sequence[Contribution],
    weights: Sequence[float],
    shares: Sequence[float],
    slot: str,
    ridge: float,
) -> NDArray[np.float64]:
    rank, columns = contributions[0].b[slot].shape
    left, right = np.zeros((rank, rank)), np.zeros((rank, columns))
    for contribution, weight, share in zip(contributions, weights, shares, strict=True):
        stiffness = weight * (contribution.grams[slot].astype(np.float64) + ridge * np.eye(rank))
        left += stiffness
        right += share * (stiffness @ contribution.b[slot].astype(np.float64))
    return np.linalg.solve(left, right).astype(np.float64)


def _norm(arrays: Iterable[NDArray[np.floating]]) -> float:
    return math.sqrt(sum(float(np.sum(np.square(array, dtype=np.float64))) for array in arrays))


def _judge(contribution: Contribution, first: Contribution) -> None:
    node_id = contribution.node_id
    if contribution.labels < 0 or contribution.staleness < 0:
        raise ContributionUnweighable(node_id=node_id, labels=contribution.labels, staleness=contribution.staleness)
    if contribution.b.keys() != first.b.keys() or contribution.grams.keys() != first.b.keys():
        odd = (contribution.b.keys() ^ first.b.keys()) | (contribution.grams.keys() ^ first.b.keys())
        raise ContributionMismatch(node_id=node_id, slot=min(odd))
    for slot, array in contribution.b.items():
        rank = len(first.b[slot])
        if array.shape != first.b[slot].shape or contribution.grams[slot].shape != (rank, rank):
            raise ContributionMismatch(node_id=node_id, slot=slot)
        if not (np.all(np.isfinite(array)) and np.all(np.isfinite(contribution.grams[slot]))):
            raise ContributionNotFinite(node_id=node_id, slot=slot)
