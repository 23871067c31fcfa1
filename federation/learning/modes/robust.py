"""Robust mode: in each region a rule that a poisoned minority cannot lead, then the regions, weighted by their labels.

Within a region every school counts alike: labels are what a school says of itself, and whoever sends poison would claim
the most. They weigh the regions, through the trimmed mean of the region's label weights times its schools. What comes
out are voices with weights, which the season's scheme adds up as if they were updates:

- trimmed mean and median: one voice a pool of regions, made number by number. What a school alone has learnt is
  outvoted there, poison and truth alike.
- Krum and MultiKrum: the chosen updates themselves, whole, so that a fusion that looks at what each school's own
  questions were still can.

Every update is clipped to the plan's norm first. Memory: one array of every school of a pool at a time, and one adapter
for each pool. Nothing depends on the order in which updates came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from federation.learning.modes.coordinates import median_trim, trimmed_at_each_end, trimmed_mean
from federation.learning.modes.inner_products import inner_products, learnt_names, stacked
from federation.learning.modes.mode import RobustRule, RobustTerms, SchoolTwiceInRound
from federation.learning.modes.regions import Pool, regions_pool
from federation.learning.schemes.contribution import (
    ArrayName,
    Contribution,
    Hold,
    contribution_clip,
    contribution_weight,
    learnt_norm,
)
from federation.learning.schemes.scheme import Accumulator, Delta
from federation.wire.rounds import Factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """What the scheme adds up as if it were a school's update; all weights together are 1."""

    contribution: Contribution
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """What became of the updates of one pool of regions, for the release's card and the admin."""

    regions: tuple[str, ...]
    node_ids: tuple[str, ...]
    clipped: tuple[str, ...]
    """Nodes whose updates were longer than the plan's norm."""
    left_out: tuple[str, ...]
    """Nodes whose updates Krum did not choose."""
    trimmed: int
    """Values left out at either end of each coordinate."""
    weight: float
    """The pool's share of the round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustOutcome:
    """A round under the robust mode: its delta, and how it came about."""

    delta: Delta
    pools: tuple[PoolReport, ...]


def robust_delta(
    contributions: Sequence[Contribution],
    *,
    region_by_node: Mapping[str, str],
    terms: RobustTerms,
    max_norm: float,
    max_labels: int,
    accumulator: Accumulator,
    hold: Hold | None = None,
) -> RobustOutcome:
    """Return what `accumulator`, which is empty, makes of the regions' voices; arrays may be read lazily, by name.

    The centre's own part, `hold`, is added beside them: it does not come from a school.

    Raises:
        SchoolTwiceInRound: names the node.
        TooFewToBeRobust: there are fewer updates than a region needs to speak for itself.
        NothingToAggregate: all weights are 0.
        ContributionMismatch, ContributionNotFinite, ContributionUnweighable: names the node.
    """
    by_node: dict[str, Contribution] = {}
    for contribution in contributions:
        if contribution.node_id in by_node:
            raise SchoolTwiceInRound(school=contribution.node_id)
        by_node[contribution.node_id] = contribution
    pools = regions_pool({node_id: region_by_node[node_id] for node_id in by_node}, fewest=terms.fewest)
    members = [[by_node[node_id] for node_id in pool.node_ids] for pool in pools]
    raw = [_pool_weight(each, terms, max_labels) for each in members]
    reports = []
    for pool, each, weight in zip(pools, members, raw, strict=True):
        voices, report = _pool_voices(pool, each, terms, max_norm, weight / (sum(raw) or 1.0))
        reports.append(report)
        for voice in voices:
            # Read once, one voice at a time: clipping and adding look at each array several times.
            whole = replace(voice.contribution, arrays=dict(voice.contribution.arrays))
            accumulator.add(contribution_clip(whole, max_norm=max_norm), voice.weight)
    if hold is not None:
        accumulator.add(hold.contribution, hold.weight)
    return RobustOutcome(delta=accumulator.result(), pools=tuple(reports))


def _pool_weight(contributions: Sequence[Contribution], terms: RobustTerms, max_labels: int) -> float:
    weights = np.array([contribution_weight(each, max_labels=max_labels) for each in contributions], dtype=np.float32)
    trimmed = trimmed_at_each_end(len(weights), share=terms.share)
    return len(weights) * float(trimmed_mean(weights, trimmed=trimmed))


def _pool_voices(
    pool: Pool, contributions: Sequence[Contribution], terms: RobustTerms, max_norm: float, weight: float
) -> tuple[list[Voice], PoolReport]:
    norms = [learnt_norm(each.arrays) for each in contributions]
    shares = np.array([min(1.0, max_norm / norm) if norm > 0 else 1.0 for norm in norms], dtype=np.float32)
    foreseen = trimmed_at_each_end(len(contributions), share=terms.share)
    counted: Sequence[Contribution] = contributions
    if terms.rule.is_by_coordinate:
        trimmed = median_trim(len(contributions)) if terms.rule is RobustRule.MEDIAN else foreseen
        centre = _centre(pool, contributions, shares, trimmed)
        voices = [Voice(contribution=centre, weight=weight)]
    else:
        trimmed = 0
        counted = _chosen(contributions, shares, terms.rule, foreseen)
        voices = [Voice(contribution=each, weight=weight / len(counted)) for each in counted]
    counted_ids = {each.node_id for each in counted}
    report = PoolReport(
        regions=pool.regions,
        node_ids=pool.node_ids,
        clipped=tuple(node_id for node_id, share in zip(pool.node_ids, shares, strict=True) if share < 1.0),
        left_out=tuple(node_id for node_id in pool.node_ids if node_id not in counted_ids),
        trimmed=trimmed,
        weight=weight,
    )
    return voices, report


def _centre(
    pool: Pool, contributions: Sequence[Contribution], shares: NDArray[np.float32], trimmed: int
) -> Contribution:
    first = contributions[0].arrays
    arrays: dict[ArrayName, NDArray[np.float32]] = {}
    for name in learnt_names(contributions[0]):
        stack = stacked(contributions, name) * shares[:, None]
        arrays[name] = trimmed_mean(stack, trimmed=trimmed).reshape(first[name].shape)
    # A centre looked in no direction more than in another, so a fusion by least squares becomes the weighted mean.
    arrays |= {name: np.eye(len(first[name]), dtype=np.float32) for name in first if name[1] is Factor.GRAM}
    return Contribution(node_id=", ".join(pool.regions), labels=1, staleness=0, arrays=arrays)


def _chosen(
    contributions: Sequence[Contribution], shares: NDArray[np.float32], rule: RobustRule, foreseen: int
) -> list[Contribution]:
    # Flower's strategies take a second to load, and only these two rules need them.
    from federation.learning.modes.krum import krum_select  # noqa: PLC0415

    table = inner_products(contributions) * np.outer(shares, shares)
    selected = 1 if rule is RobustRule.KRUM else len(contributions) - foreseen
    return [contributions[place] for place in krum_select(table, malicious=foreseen, selected=selected)]
