"""Periodic work on seasons, their rounds and the SuperLinks."""

from __future__ import annotations

import logging

from django.db.models import Q
from django.utils import timezone

from central.celery import app
from central.disk import centre_disk
from central.releases.models import IN_FORCE, Release
from central.superlinks import superlinks
from central.training.buffer import Due
from central.training.fleet import fleet_advance, runs_check
from central.training.inbox import updates_scan_inbox
from central.training.models import Round, RoundStatus, Season, SeasonStatus
from central.training.privacy_ledger import noise_seeds_forget
from central.training.quarantine import round_screen
from central.training.rounds import round_advance, round_aggregate, round_progress
from central.training.seasons import season_follow
from central.training.superlink import SuperLinkUnreachable
from central.training.uploads import uploads_expire
from central.training.withdrawal import withdrawals_follow
from central.trust_root import director_key
from federation.errors import FederationError

LOGGER = logging.getLogger(__name__)


@app.task
def updates_take_in() -> None:
    """Judge what lies in the inbox."""
    updates_scan_inbox(disk=centre_disk(), now=timezone.now())


@app.task
def round_tick() -> None:
    """Take updates in, adopt what was signed, end rounds that are due, and aggregate those that have ended."""
    updates_take_in()
    withdrawals_follow(disk=centre_disk(), now=timezone.now())
    unadopted = Q(rounds__status=RoundStatus.COMPLETED, rounds__version=None, rounds__release__status__in=IN_FORCE)
    for season in Season.objects.filter(Q(status=SeasonStatus.OPEN) | unadopted).select_related("base").distinct():
        try:
            season_follow(season=season, key=director_key(), now=timezone.now())
        except FederationError:
            LOGGER.exception("season %s could not be followed", season.season_id)
    for round_ in Round.objects.filter(status=RoundStatus.COLLECTING).select_related("season__base"):
        try:
            _advance(round_)
        except FederationError:
            LOGGER.exception("round %s could not be advanced", round_.round_id)
    aggregating = Round.objects.filter(status=RoundStatus.AGGREGATING)
    for round_ in aggregating.select_related("season__base", "release__base"):
        round_aggregate(round_=round_, disk=centre_disk(), clock=timezone.now, make=_candidate)
    noise_seeds_forget()


def _advance(round_: Round) -> None:
    now = timezone.now()
    is_due = round_progress(round_, now=now).due is Due.COMBINE
    # What becomes due only now, by an update of this moment, is looked at with the next tick.
    screened = round_screen(round_=round_, disk=centre_disk(), now=now) if is_due else frozenset[int]()
    round_advance(round_=round_, now=now, screened=screened)


def _candidate(round_: Round) -> Release:
    # The serving engine is loaded only by the process that aggregates, not by every one that knows the tasks.
    from central.training.candidate import candidate_make  # noqa: PLC0415

    return candidate_make(round_=round_, disk=centre_disk(), clock=timezone.now)


@app.task
def uploads_sweep() -> None:
    """Forget uploads that nobody goes on with."""
    uploads_expire(disk=centre_disk(), now=timezone.now())


@app.task
def fleet_sweep() -> None:
    """Keep the SuperLinks in step with the tables, where this centre runs any."""
    for site in superlinks():
        fleet_advance(site=site, disk=centre_disk(), now=timezone.now())


@app.task
def fleet_runs_check() -> None:
    """Find Flower runs that ended without a record."""
    for site in superlinks():
        try:
            runs_check(site=site, disk=centre_disk())
        except SuperLinkUnreachable as error:
            LOGGER.warning("the SuperLink is away: %s", error)
