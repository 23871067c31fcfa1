"""Combines the updates that a round counts, as its season's scheme and mode say, into the season's next adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from central.disk import CentreDisk
from central.training.hold import HoldMeasure, hold_measured, hold_of_round
from central.training.kept_updates import contributions_read
from central.training.mode_combine import private_combine, robust_combine
from central.training.models import Round, Season, SeasonMode
from central.training.plans import plan_of, settings_of, sizes_of
from central.training.start import start_of_round
from central.training.velocity import velocity_read
from federation.learning.aggregate import aggregate
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Delta, Hold
from federation.learning.schemes.scheme import Terms, terms_of
from federation.learning.schemes.server import Step, server_step
from federation.wire.rounds import SchemeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """The adapter that a round leads to, and how it came about."""

    start: Round | None
    """The round whose adapter it started from; None for the base alone."""
    step: Step
    figures: dict[str, Any]
    """For the release's card, which every school reads: plain JSON values that name no school."""


def round_combine(*, round_: Round, disk: CentreDisk, hold: HoldMeasure = hold_measured) -> Combined:
    """Return where the round's updates lead from the season's newest adapter in force.

    The same rows give the same adapter, so a combining that was cut is done anew. `hold` measures the centre's own
    part, where the season's schools take natural steps.

    Raises:
        NothingToAggregate, ContributionMismatch, ContributionNotFinite: the updates cannot be combined.
        TooFewToBeRobust, SchoolTwiceInRound: they cannot be combined in the season's mode.
        AdapterDamaged: the adapter that they start from is not what was released.
        HoldFailed: the centre's own part could not be measured.
    """
    season, settings, terms = round_.season, settings_of(round_.season), terms_of_season(round_.season)
    start, name = start_of_round(season, disk), SchemeName(season.scheme)
    held = hold_of_round(round_, start, disk, hold)
    delta, figures = _COMBINE[SeasonMode(season.mode)](round_, terms, held, disk)
    scheme = scheme_of(name)
    step = server_step(
        scheme=scheme,
        terms=terms,
        start=start.factors,
        velocity=velocity_read(start.round, disk) if settings.momentum else None,
        delta=delta,
        size=settings.scale_of(name, norm=scheme.norm(delta), adopted=start.adopted),
        decay=settings.momentum,
    )
    return Combined(start=start.round, step=step, figures=figures)


def terms_of_season(season: Season) -> Terms:
    """Return what all the season's updates have in common; each of its plans says the same of it."""
    settings = settings_of(season)
    plan = plan_of(season.plans.order_by("pk")[0])
    return terms_of(plan, sizes_of(season), settings.fusion, adapter_rank=settings.rank)


def _plain(round_: Round, terms: Terms, hold: Hold | None, disk: CentreDisk) -> tuple[Delta, dict[str, Any]]:
    """Add the updates up one by one: memory does not grow with the number of schools."""
    settings = settings_of(round_.season)
    found = aggregate(
        contributions_read(round_=round_, disk=disk),
        scheme=scheme_of(SchemeName(round_.season.scheme)),
        terms=terms,
        max_norm=settings.max_norm,
        max_labels=settings.max_labels,
        hold=hold,
    )
    largest = max(share.weight for share in found.shares)
    figures = {"norm": found.norm, "dropped": found.dropped, "largest_weight": largest}
    return found.delta, {name: round(value, 6) for name, value in figures.items()}


_COMBINE = {SeasonMode.PLAIN: _plain, SeasonMode.ROBUST: robust_combine, SeasonMode.PRIVATE: private_combine}
