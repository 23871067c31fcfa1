"""Adds a round's updates up as the season's mode says, where that is not plainly."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from central.disk import CentreDisk
from central.training.kept_updates import contribution_stored, contributions_read
from central.training.mode_settings import private_terms, robust_terms
from central.training.models import Round
from central.training.plans import settings_of
from central.training.privacy_ledger import round_epsilon, round_noise
from federation.learning.modes.private import private_delta
from federation.learning.modes.robust import PoolReport, robust_delta
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Delta, Hold
from federation.learning.schemes.scheme import Terms
from federation.wire.rounds import SchemeName


def robust_combine(round_: Round, terms: Terms, hold: Hold | None, disk: CentreDisk) -> tuple[Delta, dict[str, Any]]:
    """Return what the round's regions have learnt, and its figures; they name no school.

    One array of every school is in memory at a time.

    Raises:
        TooFewToBeRobust: there are fewer updates than a region needs to speak for itself.
        NothingToAggregate, ContributionMismatch, ContributionNotFinite: the updates cannot be combined.
    """
    season, settings = round_.season, settings_of(round_.season)
    updates = list(round_.updates.accepted().select_related("plan", "node__school").defer("plan__envelope"))
    scheme = scheme_of(SchemeName(season.scheme))
    accumulator = scheme.accumulator(terms)
    outcome = robust_delta(
        [contribution_stored(update, settings.precision, disk) for update in updates],
        region_by_node={str(update.node_id): update.node.school.region for update in updates},
        terms=robust_terms(season),
        max_norm=settings.max_norm,
        max_labels=settings.max_labels,
        accumulator=accumulator,
        hold=hold,
    )
    return outcome.delta, {
        "regions": [_pool(pool) for pool in outcome.pools],
        "norm": round(scheme.norm(outcome.delta), 6),
        "dropped": round(accumulator.dropped, 6),
    }


def private_combine(round_: Round, terms: Terms, _hold: Hold | None, disk: CentreDisk) -> tuple[Delta, dict[str, Any]]:
    """Return the noised sum of the round's updates, whose schools were charged for it, and its figures.

    It is a weighted mean, beside which schools take Adam's steps and the centre adds nothing. The norm of the noised
    sum may be shown; what schools sent, and their weights, may not.

    Raises:
        SchoolTwiceInRound: the round counts two updates of one school.
        NothingToAggregate, ContributionMismatch, ContributionNotFinite: the updates cannot be combined.
    """
    season, settings = round_.season, settings_of(round_.season)
    counted = list(round_.updates.accepted().values_list("digest", "node", "node__school"))
    scheme = scheme_of(SchemeName(season.scheme))
    outcome = private_delta(
        contributions_read(round_=round_, disk=disk),
        school_by_node={str(node): str(school) for _digest, node, school in counted},
        shapes=scheme.shapes_under(terms),
        terms=private_terms(season),
        max_norm=settings.max_norm,
        max_labels=settings.max_labels,
        rng=round_noise(round_=round_, counted=[digest for digest, _node, _school in counted]),
    )
    return outcome.delta, {
        "norm": round(scheme.norm(outcome.delta), 6),
        "sigma": round(outcome.sigma, 6),
        "epsilon": round(round_epsilon(round_) or 0.0, 3),
        "privacy": asdict(private_terms(season)),
    }


def _pool(pool: PoolReport) -> dict[str, Any]:
    return {
        "regions": list(pool.regions),
        "schools": len(pool.node_ids),
        "clipped": len(pool.clipped),
        "left_out": len(pool.left_out),
        "trimmed": pool.trimmed,
        "weight": round(pool.weight, 6),
    }
