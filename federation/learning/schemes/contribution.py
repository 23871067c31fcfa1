"""One school's update as the centre combines it: judged, weighted and clipped before a scheme sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from federation.errors import WireError
from federation.wire.rounds import ArrayShape, Factor

ArrayName: TypeAlias = tuple[str, Factor]
Arrays: TypeAlias = Mapping[ArrayName, NDArray[np.float32]]
Delta: TypeAlias = Mapping[ArrayName, NDArray[np.float64]]


class ContributionMismatch(WireError):
    """A contribution's arrays are not those of the scheme: one is missing or extra, or a shape differs."""

    code = "contribution_mismatch"


class ContributionNotFinite(WireError):
    """A contribution holds NaN or infinity."""

    code = "contribution_not_finite"


class ContributionUnweighable(WireError):
    """A contribution's labels or staleness is negative."""

    code = "contribution_unweighable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One school's update: the float32 arrays of its scheme (`Scheme.shapes`), a delta on the start of its plan."""

    node_id: str
    labels: int
    staleness: int
    """How many adapters the season has adopted since the plan that this update answers; 0 is fresh."""
    arrays: Arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The centre's own part of a round (`federation.learning.hold`)."""

    contribution: Contribution
    weight: float
    """Beside that of all schools together."""


def learnt_norm(arrays: Arrays | Delta) -> float:
    """Return the L2 norm of all that was learnt, taken as one vector: every array but the Gram matrices."""
    # By name: of an update on the disk each look at an array reads it, and at a Gram matrix mends it too.
    learnt = (arrays[name] for name in arrays if name[1] is not Factor.GRAM)
    return math.sqrt(sum(float(np.sum(np.square(array, dtype=np.float64))) for array in learnt))


def contribution_weight(contribution: Contribution, *, max_labels: int) -> float:
    """Return min(labels, max_labels) / sqrt(1 + staleness).

    Raises:
        ContributionUnweighable: the labels or the staleness is negative; names the node.
    Source: Nguyen et al. 2022 (FedBuff), section 5, for staleness.
    """
    labels, staleness = contribution.labels, contribution.staleness
    if labels < 0 or staleness < 0:
        raise ContributionUnweighable(node_id=contribution.node_id, labels=labels, staleness=staleness)
    return min(labels, max_labels) / math.sqrt(1 + staleness)


def contribution_clip(contribution: Contribution, *, max_norm: float) -> Contribution:
    """Return `contribution` with what was learnt no longer than `max_norm`; its Gram matrices stay as they are."""
    norm = learnt_norm(contribution.arrays)
    if norm <= max_norm or not math.isfinite(norm):
        # What is not finite cannot be scaled; the accumulator refuses it by the node's name.
        return contribution
    share = np.float32(max_norm / norm)
    arrays = {
        (slot, factor): array if factor is Factor.GRAM else array * share
        for (slot, factor), array in contribution.arrays.items()
    }
    return replace(contribution, arrays=arrays)


def contribution_check(contribution: Contribution, shapes: Sequence[ArrayShape]) -> None:
    """Refuse a contribution that does not hold exactly the finite arrays of `shapes`.

    Raises:
        ContributionMismatch, ContributionNotFinite: names the node and the slot.
    """
    node_id, arrays = contribution.node_id, contribution.arrays
    wanted = {(shape.slot, shape.factor): (shape.rows, shape.columns) for shape in shapes}
    if odd := arrays.keys() ^ wanted.keys():
        slot, factor = min(odd)
        raise ContributionMismatch(node_id=node_id, slot=slot, factor=factor.value)
    for (slot, factor), shape in wanted.items():
        array = arrays[slot, factor]
        if array.shape != shape:
            raise ContributionMismatch(node_id=node_id, slot=slot, factor=factor.value)
        if not np.all(np.isfinite(array)):
            raise ContributionNotFinite(node_id=node_id, slot=slot, factor=factor.value)
