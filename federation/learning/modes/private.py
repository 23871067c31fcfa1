"""Private mode: a clipped sum with Gaussian noise, so that one school shows in what is released by at most ε.

What is promised, and to whom: the unit is a school, with all its PCs and teachers. Two rounds are neighbours when they
differ in what one school sent, its update replaced by nothing (the zero-out relation). That a school took part is no
secret, for the round's count closes it and the admin shows it; what its teachers wrote is. The centre itself sees the
updates: the promise is against whoever gets the adapters.

What enters the sensitivity:
- the clip: no update is longer than `max_norm`;
- the weight min(labels, max_labels) / sqrt(1 + staleness) is at most `max_labels`, so a school moves the sum by at most
  S = max_labels · max_norm. Few labels and staleness only make it less, and ε counts the worst;
- one update a school and round: two PCs of one school would move the sum by 2 S, so the second is refused;
- the divisor is a public setting. The weights that came say something about the schools, so they divide nothing.

The noise has standard deviation z · S in every coordinate, where z is the season's noise multiplier. Schools come when
they have a link and are not drawn at random, so nothing is claimed for sampling. What is made of the sum afterwards
(division, momentum, rounding to int8) cannot undo it. Judging updates by comparison with others would: a private round
has no quarantine by figures, only the inbox's checks, which look at one update alone.

Source: McMahan et al. 2018, "Learning differentially private recurrent language models", section 2.2 (the estimator
with a fixed divisor); Kairouz et al. 2021, "Practical and private (deep) learning without sampling or shuffling",
section 2 (zero-out neighbours); Dwork and Roth 2014, appendix A (the Gaussian mechanism).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federation.learning.modes.mode import PrivateTerms, SchoolTwiceInRound
from federation.learning.schemes.contribution import (
    ArrayName,
    Contribution,
    contribution_check,
    contribution_clip,
    contribution_weight,
)
from federation.learning.schemes.scheme import Delta, NothingToAggregate
from federation.wire.rounds import ArrayShape, Factor

SEED_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateOutcome:
    """A round under the private mode; every figure in it may be shown to anyone."""

    delta: Delta
    sigma: float
    """Standard deviation of the noise in each number of `delta`."""
    updates: int


def sensitivity(*, max_norm: float, max_labels: int) -> float:
    """Return by how much, as an L2 norm, one school can move the sum: an update of full length and full weight."""
    return max_labels * max_norm


def noise_seed() -> bytes:
    """Return the secret that a private round's noise is drawn from; whoever knows it can subtract the noise."""
    return secrets.token_bytes(SEED_BYTES)


def noise_generator(seed: bytes, *, counted: Iterable[str]) -> np.random.Generator:
    """Return the generator of the noise on the sum of the updates `counted`, by digest, in any order.

    The same updates get the same noise when a combining that was cut is done anew: two draws would tell more than one.
    Other updates get other noise: two sums under one draw would give away what differs between them.
    """
    words = hashlib.sha256(b"\n".join([seed, *sorted(digest.encode() for digest in counted)])).digest()
    return np.random.default_rng(int.from_bytes(words))


def private_delta(
    contributions: Iterable[Contribution],
    *,
    school_by_node: Mapping[str, str],
    shapes: Sequence[ArrayShape],
    terms: PrivateTerms,
    max_norm: float,
    max_labels: int,
    rng: np.random.Generator,
) -> PrivateOutcome:
    """Return the noised sum of `contributions` divided by `terms.labels_expected`; `shapes` are the scheme's.

    One contribution is in memory at a time. The same ones in the same order give the same sum to the last bit.

    Raises:
        SchoolTwiceInRound: names the school.
        NothingToAggregate: there is no contribution.
        ContributionMismatch, ContributionNotFinite, ContributionUnweighable: names the node.
    """
    sums = {(shape.slot, shape.factor): np.zeros((shape.rows, shape.columns)) for shape in _learnt(shapes)}
    updates = 0
    for contribution in _one_a_school(contributions, school_by_node):
        contribution_check(contribution, shapes)
        _add(sums, contribution, max_norm=max_norm, max_labels=max_labels)
        updates += 1
    if updates == 0:
        raise NothingToAggregate
    sigma = terms.noise_multiplier * sensitivity(max_norm=max_norm, max_labels=max_labels)
    for name in sorted(sums):
        sums[name] += rng.normal(0.0, sigma, sums[name].shape)
        sums[name] /= terms.labels_expected
    return PrivateOutcome(delta=sums, sigma=sigma / terms.labels_expected, updates=updates)


def _add(
    sums: dict[ArrayName, NDArray[np.float64]], contribution: Contribution, *, max_norm: float, max_labels: int
) -> None:
    weight = contribution_weight(contribution, max_labels=max_labels)
    # A hair shorter than the bound, so that float32's rounding cannot lift an update over it.
    clipped = contribution_clip(contribution, max_norm=max_norm * (1 - 1e-6))
    for name in sums:
        sums[name] += weight * clipped.arrays[name].astype(np.float64)


def _one_a_school(contributions: Iterable[Contribution], school_by_node: Mapping[str, str]) -> Iterator[Contribution]:
    seen: set[str] = set()
    for contribution in contributions:
        school = school_by_node[contribution.node_id]
        if school in seen:
            raise SchoolTwiceInRound(school=school)
        seen.add(school)
        yield contribution


def _learnt(shapes: Iterable[ArrayShape]) -> Iterable[ArrayShape]:
    return (shape for shape in shapes if shape.factor is not Factor.GRAM)
