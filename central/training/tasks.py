"""Periodic work on rounds and on the SuperLink."""

from __future__ import annotations

import logging

from django.conf import settings
from django.utils import timezone

from central.celery import app
from central.disk import centre_disk
from central.releases.models import Release
from central.training.fleet import fleet_advance, runs_check
from central.training.inbox import updates_scan_inbox
from central.training.models import Round, RoundStatus
from central.training.rounds import round_advance, round_aggregate
from central.training.superlink import SuperLinkUnreachable
from federation.errors import FederationError

LOGGER = logging.getLogger(__name__)


@app.task
def updates_take_in() -> None:
    """Judge what lies in the inbox."""
    updates_scan_inbox(disk=centre_disk(), now=timezone.now())


@app.task
def round_tick() -> None:
    """Take updates in, end rounds that are due, and aggregate those that have ended."""
    updates_take_in()
    for round_ in Round.objects.filter(status=RoundStatus.COLLECTING).select_related("base"):
        try:
            round_advance(round_=round_, now=timezone.now())
        except FederationError:
            LOGGER.exception("round %s could not be advanced", round_.plan_id)
    for round_ in Round.objects.filter(status=RoundStatus.AGGREGATING).select_related("base", "release__base"):
        round_aggregate(round_=round_, clock=timezone.now, make=_candidate)


def _candidate(round_: Round) -> Release:
    # The serving engine is loaded only by the process that aggregates, not by every one that knows the tasks.
    from central.training.candidate import candidate_make  # noqa: PLC0415

    return candidate_make(round_=round_, disk=centre_disk(), clock=timezone.now)


@app.task
def fleet_sweep() -> None:
    """Keep the SuperLink in step with the tables, where this centre runs one."""
    if settings.FLEET_PORT:
        fleet_advance(disk=centre_disk(), port=settings.FLEET_PORT, now=timezone.now())


@app.task
def fleet_runs_check() -> None:
    """Find Flower runs that ended without a record."""
    if settings.FLEET_PORT:
        try:
            runs_check(disk=centre_disk(), port=settings.FLEET_PORT)
        except SuperLinkUnreachable as error:
            LOGGER.warning("the SuperLink is away: %s", error)
