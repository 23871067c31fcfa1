"""Periodic work on seasons, their rounds and the SuperLinks."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from django.db.models import Q
from django.utils import timezone

from central.celery import app
from central.disk import CentreDisk, centre_disk
from central.releases.models import IN_FORCE, Release
from central.superlinks import superlinks
from central.training.buffer import Due
from central.training.claim import claim_hold
from central.training.errors import ProbeFailed
from central.training.fleet import fleet_advance, runs_check
from central.training.inbox import updates_scan_inbox
from central.training.models import Round, RoundStatus, Season, SeasonStatus
from central.training.privacy_ledger import noise_seeds_forget
from central.training.probe import probe_measured
from central.training.quarantine import round_screen
from central.training.rounds import round_abandon, round_advance, round_aggregate, round_keep, round_progress
from central.training.seasons import season_follow
from central.training.start import Start
from central.training.superlink import SuperLinkUnreachable
from central.training.uploads import uploads_expire
from central.training.withdrawal import withdrawals_follow
from central.trust_root import director_key
from federation.errors import FederationError
from federation.learning.probe_task import ProbeTask, Tried

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
    if round_progress(round_, now=timezone.now()).due is not Due.COMBINE:
        round_advance(round_=round_, now=timezone.now(), screened=frozenset())
        return
    with claim_hold(centre_disk().claims, round_id=round_.round_id) as claim:
        # Trying updates takes minutes, and the next tick begins meanwhile.
        if claim.is_ours:
            _screened_advance(round_)


def _screened_advance(round_: Round) -> None:
    try:
        screened = round_screen(round_=round_, disk=centre_disk(), now=timezone.now(), probe=_probe)
    except ProbeFailed as error:
        LOGGER.exception("round %s could not be looked at", round_.round_id)
        round_abandon(round_=round_, reason=str(error), now=timezone.now())
        return
    round_advance(round_=round_, now=timezone.now(), screened=screened)


def _candidate(round_: Round) -> Release:
    # The serving engine is loaded only by the process that aggregates, not by every one that knows the tasks.
    from central.training.candidate import candidate_make  # noqa: PLC0415

    if round_.updates.accepted().exclude(figures__has_key="reasons").exists():
        # It was abandoned while it collected, and a person has it combined after all.
        round_screen(round_=round_, disk=centre_disk(), now=timezone.now(), probe=_probe)
    return candidate_make(round_=round_, disk=centre_disk(), clock=timezone.now)


def _probe(round_: Round, start: Start, task: ProbeTask, disk: CentreDisk) -> Iterator[Tried]:
    for tried in probe_measured(round_, start, task, disk):
        round_keep(round_=round_, now=timezone.now())
        yield tried


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
