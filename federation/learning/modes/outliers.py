"""Figures that tell a human which updates stand apart from their round, and the rule that asks for a look.

Nothing is dropped by it: an update that stands apart waits in quarantine, with the figures and the reasons, until a
person releases or rejects it. Everything comes from the table of inner products, from what the updates' headers claim,
and from what became of corrections that the centre knows when the update was tried on them. A school whose pupils ask
about other things is no attack: its update lies at a right angle to the others', and only one that points against them,
is far longer, is another's twin or makes known corrections dearer is held back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from federation.wire.rounds import LocalScores

WEISZFELD_STEPS = 50
_NEAR = 1e-6
_TO_SIGMAS = 0.6745
"""The median absolute deviation of a normal distribution, in standard deviations."""


class OutlierReason(StrEnum):
    """Why an update waits for a person."""

    FAR_LONGER = "far_longer"
    AGAINST_THE_OTHERS = "against_the_others"
    TWIN = "twin"
    ODD_LOSS = "odd_loss"
    WORSE_ON_OWN_LABELS = "worse_on_own_labels"
    WORSE_ON_OWN_CORRECTIONS = "worse_on_own_corrections"
    WORSE_ON_OTHERS_CORRECTIONS = "worse_on_others_corrections"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What an update says of its own training."""

    node_id: str
    loss_before: float
    loss_after: float
    scores: LocalScores | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGains:
    """What an update gained when the centre tried it on corrections that it knows, nats a token; None without any."""

    own: float | None = None
    """On corrections of its own school."""
    others: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierFigures:
    """How one update stands to the others of its round."""

    node_id: str
    norm: float
    norm_ratio: float
    """Its length to the round's median length."""
    cosine: float
    """With the robust direction of the others."""
    cosine_deviation: float
    """In robust standard deviations from the round's median cosine."""
    nearest: float
    """Cosine with the update that points most nearly the same way."""
    loss_gain: float
    """Nats a token by which it claims to have got better on its own examples."""
    loss_gain_deviation: float
    held_out_gain: float | None
    """Nats a token by which it says that held-out labels got better; None where none were held back."""
    own_gain: float | None
    """Nats a token by which the centre saw corrections of its own school get better; None where it knows none."""
    others_gain: float | None
    others_gain_deviation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierLimits:
    """Beyond these a person looks."""

    fewest: int = 5
    """With fewer updates there is no middle to compare with, and only what an update says of itself is judged."""
    norm_ratio: float = 3.0
    cosine: float = -0.1
    """At a right angle an update is only different; this far beyond it, it works against the others."""
    deviation: float = 3.5
    """Source: Iglewicz and Hoaglin 1993, "How to detect and handle outliers", modified z-scores."""
    nearest: float = 0.99
    held_out_loss: float = 0.5
    own_loss: float = 0.5
    """Nats a token beyond what it costs others' corrections, if it costs them any: a whole natural step of an honest
    school gains 1.6 to 3.6 on its own corrections and costs others' 0.5 to 1 (docs/decisions)."""
    others_loss: float = 0.5


def outliers_measure(
    table: NDArray[np.float64], claims: Sequence[Claims], known: Sequence[KnownGains]
) -> tuple[OutlierFigures, ...]:
    """Return the figures of each update; `table` holds their inner products before clipping, in the claims' order."""
    norms = np.sqrt(np.maximum(np.diag(table), 0.0))
    directions = table / np.maximum(np.outer(norms, norms), np.finfo(np.float64).tiny)
    cosines = _cosines_with_others(directions, _weiszfeld(directions))
    others = directions - 2.0 * np.eye(len(norms))
    gains = np.array([each.loss_before - each.loss_after for each in claims])
    middle = float(np.median(norms))
    deviations = _deviations(cosines, floor=0.05), _deviations(gains, floor=0.25)
    others_gains = _deviations_known([each.others for each in known], floor=0.1)
    return tuple(
        OutlierFigures(
            node_id=each.node_id,
            norm=float(norms[place]),
            norm_ratio=float(norms[place]) / middle if middle > 0 else 1.0,
            cosine=float(cosines[place]),
            cosine_deviation=float(deviations[0][place]),
            nearest=float(np.max(others[place])),
            loss_gain=float(gains[place]),
            loss_gain_deviation=float(deviations[1][place]),
            held_out_gain=_held_out_gain(each.scores),
            own_gain=known[place].own,
            others_gain=known[place].others,
            others_gain_deviation=others_gains[place],
        )
        for place, each in enumerate(claims)
    )


def outliers_judge(figures: Sequence[OutlierFigures], limits: OutlierLimits) -> Mapping[str, tuple[OutlierReason, ...]]:
    """Return by node why its update should wait for a person; nodes whose updates may be counted are not in it."""
    is_comparable = len(figures) >= limits.fewest
    judged = {each.node_id: _reasons(each, limits, is_comparable=is_comparable) for each in figures}
    return {node_id: reasons for node_id, reasons in judged.items() if reasons}


def _reasons(each: OutlierFigures, limits: OutlierLimits, *, is_comparable: bool) -> tuple[OutlierReason, ...]:
    others = each.others_gain or 0.0
    compared = {
        OutlierReason.FAR_LONGER: each.norm_ratio > limits.norm_ratio,
        # In a round where schools disagree anyway, pointing away from the others is nothing odd.
        OutlierReason.AGAINST_THE_OTHERS: each.cosine < limits.cosine and each.cosine_deviation < -limits.deviation,
        OutlierReason.TWIN: each.nearest > limits.nearest,
        OutlierReason.ODD_LOSS: abs(each.loss_gain_deviation) > limits.deviation,
        OutlierReason.WORSE_ON_OTHERS_CORRECTIONS: others < -limits.others_loss
        and (each.others_gain_deviation or 0.0) < -limits.deviation,
    }
    reasons = [reason for reason, holds in compared.items() if is_comparable and holds]
    on_its_own = {
        OutlierReason.WORSE_ON_OWN_LABELS: (each.held_out_gain, -limits.held_out_loss),
        # A correction that it has not learnt from fares like others'.
        OutlierReason.WORSE_ON_OWN_CORRECTIONS: (each.own_gain, min(0.0, others) - limits.own_loss),
    }
    reasons += [reason for reason, (gain, least) in on_its_own.items() if gain is not None and gain < least]
    return tuple(reasons)


def _weiszfeld(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (schools), sum 1, of the directions' geometric median, which no minority can carry away.

    It needs inner products alone: |x_i − Σ β x|² = 1 − 2 (D β)_i + βᵀ D β.

    Source: Pillutla et al. 2022, "Robust aggregation for federated learning" (RFA), algorithm 2.
    """
    weights = np.full(len(directions), 1.0 / len(directions))
    for _ in range(WEISZFELD_STEPS):
        towards = directions @ weights
        squares = np.diag(directions) - 2.0 * towards + weights @ towards
        weights = 1.0 / np.sqrt(np.maximum(squares, _NEAR))
        weights /= weights.sum()
    return weights


def _cosines_with_others(directions: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each direction's cosine with the weighted sum of all the others."""
    own = np.diag(directions)
    towards = directions @ weights - weights * own
    length = weights @ directions @ weights - 2.0 * weights * (directions @ weights) + weights**2 * own
    return np.asarray(towards / np.sqrt(np.maximum(length, _NEAR**2)))


def _deviations(values: NDArray[np.float64], *, floor: float) -> NDArray[np.float64]:
    """Return modified z-scores; `floor` keeps a round of nearly equal values from calling the least difference odd."""
    middle = np.median(values)
    spread = max(float(np.median(np.abs(values - middle))), floor)
    return np.asarray(_TO_SIGMAS * (values - middle) / spread)


def _deviations_known(values: Sequence[float | None], *, floor: float) -> list[float | None]:
    """Return the modified z-scores of what is known; None elsewhere."""
    known = [value for value in values if value is not None]
    deviations = iter(_deviations(np.array(known), floor=floor)) if known else iter(())
    return [None if value is None else float(next(deviations)) for value in values]


def _held_out_gain(scores: LocalScores | None) -> float | None:
    return None if scores is None else scores.nats_before - scores.nats_after
