"""Combine the updates of schools into one delta: each is weighted, clipped and added in turn, in flat memory.

NumPy only; it knows no disk, no network and no model. What adding up means is the scheme's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from federation.learning.schemes.contribution import (
    Contribution,
    Delta,
    Hold,
    contribution_clip,
    contribution_weight,
    learnt_norm,
)
from federation.learning.schemes.scheme import NothingToAggregate, Scheme, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One school's part: its weight, 0 to 1, and the L2 norm of its update before clipping."""

    node_id: str
    weight: float
    norm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """What a round's schools have learnt together, and how it came about: the weights of `shares` sum to 1."""

    delta: Delta
    shares: tuple[Share, ...]
    """In the order in which the contributions came."""
    norm: float
    """The delta's own, as its scheme measures it."""
    dropped: float
    """L2 length that a stack of products has left out at most; 0 is exact."""


def aggregate(
    contributions: Iterable[Contribution],
    *,
    scheme: Scheme,
    terms: Terms,
    max_norm: float,
    max_labels: int,
    hold: Hold | None = None,
) -> Aggregate:
    """Return the combination of `contributions` under `scheme`, each clipped to L2 norm `max_norm` first.

    A school weighs min(labels, max_labels) / sqrt(1 + staleness). Contributions are taken one at a time and let go.
    The centre's own part, `hold`, has no share: shares are what schools weigh among each other.

    Raises:
        NothingToAggregate: there is no contribution, or all have weight 0.
        ContributionMismatch, ContributionNotFinite, ContributionUnweighable: names the node.
    """
    running = scheme.accumulator(terms)
    shares = []
    for contribution in contributions:
        weight = contribution_weight(contribution, max_labels=max_labels)
        norm = learnt_norm(contribution.arrays)
        running.add(contribution_clip(contribution, max_norm=max_norm), weight)
        shares.append(Share(node_id=contribution.node_id, weight=weight, norm=norm))
    total = sum(share.weight for share in shares)
    if total <= 0:
        raise NothingToAggregate(contributions=len(shares))
    if hold is not None:
        running.add(hold.contribution, hold.weight * total)
    delta = running.result()
    return Aggregate(
        delta=delta,
        shares=tuple(replace(share, weight=share.weight / total) for share in shares),
        norm=scheme.norm(delta),
        dropped=running.dropped,
    )
