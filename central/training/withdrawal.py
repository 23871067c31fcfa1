"""Opting out and un-learning: a school that withdraws is asked no more, and no later version counts what it sent.

A round's sum is made anew from the stored updates each time, in the order in which they came, so leaving a school's
updates out is exact: the sum is, bit for bit, the one of a season that never had them. What has been shipped cannot be
called back out of the models of schools: `traces_of` names the releases that still hold something of it. The candidate
of a private round is not made anew without the school: two noised sums would give its update away, so it is passed
over, and the next sum draws other noise.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from central.disk import CentreDisk
from central.releases.contributions import start_of
from central.releases.models import IN_FORCE, ReleaseStatus
from central.schools.audit import audit_record
from central.schools.errors import SchoolUnknown
from central.schools.models import School
from central.schools.reach import entity_of, steering_expect
from central.schools.transitions import status_move
from central.training.errors import SchoolWithdrawn
from central.training.models import KEPT, OptOut, Round, RoundStatus, Season, Update, UpdateStatus
from central.training.rounds import candidate_pass_over
from central.training.seasons import season_lock
from central.training.services import update_forget

LOGGER = logging.getLogger(__name__)
ACTOR = "centre"
SHIPPED = (*IN_FORCE, ReleaseStatus.REVOKED)
OPEN = (UpdateStatus.ACCEPTED, UpdateStatus.QUARANTINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A release that was shipped and still holds something of a school."""

    release: int
    """Its version."""
    season: str
    round: int
    """Number of the round that counted the school's update."""
    updates: tuple[str, ...]
    """Digests of the school's updates in it."""


def school_find(name: str) -> School:
    """Return the school of this name.

    Raises:
        SchoolUnknown: there is none.
    """
    school = School.objects.filter(name=name).first()
    if school is None:
        raise SchoolUnknown(name=name[:200])
    return school


def school_withdraw(*, school: School, actor: str, reason: str, disk: CentreDisk, now: datetime) -> tuple[Trace, ...]:
    """Ask the school no more, take out what it sent from all that was not shipped, and return what stays where.

    What is being combined at this moment is taken out by `withdrawals_follow` once it is. Calling it again changes
    nothing.

    Raises:
        RoleReadsOnly, OutsideRegion: `actor` has no say at the school; nothing is changed.
    """
    steering_expect(actor=actor, rows=[school])
    with transaction.atomic():
        _row, is_new = OptOut.objects.get_or_create(
            school=school, defaults={"actor": actor, "reason": reason[:200], "at": now}
        )
        if is_new:
            entity = entity_of(school)
            audit_record(actor=actor, entity=entity, old="learning", new="withdrawn", reason=reason, now=now)
    _take_out(school, actor, disk, now)
    return traces_of(school)


def school_readmit(*, school: School, actor: str, reason: str, now: datetime) -> None:
    """Let the school be asked again; what was taken out stays out.

    Raises:
        RoleReadsOnly, OutsideRegion: `actor` has no say at the school; nothing is changed.
    """
    steering_expect(actor=actor, rows=[school])
    with transaction.atomic():
        gone, _by_model = OptOut.objects.filter(school=school).delete()
        if gone:
            entity = entity_of(school)
            audit_record(actor=actor, entity=entity, old="withdrawn", new="learning", reason=reason, now=now)


def withdrawals_follow(*, disk: CentreDisk, now: datetime) -> None:
    """Take out what withdrawn schools still had in rounds that were being combined when they withdrew."""
    left = Update.objects.filter(status__in=OPEN, node__school__opt_out__isnull=False)
    for school in School.objects.filter(pk__in=left.exclude(round__release__status__in=SHIPPED).values("node__school")):
        _take_out(school, ACTOR, disk, now)


def traces_of(school: School) -> tuple[Trace, ...]:
    """Return the shipped releases that were made of the school's updates, themselves or an adapter before them."""
    digests = set(Update.objects.filter(node__school=school, status__in=KEPT).values_list("digest", flat=True))
    seasons = Season.objects.filter(plans__updates__node__school=school).distinct()
    rounds = Round.objects.filter(season__in=seasons, release__status__in=SHIPPED).select_related("release", "season")
    return tuple(_traces(rounds.order_by("release__version"), digests))


def _traces(rounds: Iterable[Round], digests: Collection[str]) -> Iterator[Trace]:
    """Yield the traces in `rounds`, oldest first: an adapter holds what the one that it started from does."""
    held_by: dict[str, tuple[str, ...]] = {}
    for round_ in rounds:
        if (release := round_.release) is None:
            continue
        own = (digest for digest in release.contributions if digest in digests)
        held = tuple(dict.fromkeys((*held_by.get(start_of(release), ()), *own)))
        held_by[release.digest] = held
        if held:
            yield Trace(release=release.version, season=round_.season.season_id, round=round_.number, updates=held)


def _take_out(school: School, actor: str, disk: CentreDisk, now: datetime) -> None:
    seasons = Season.objects.filter(plans__updates__node__school=school, plans__updates__status__in=OPEN).distinct()
    for season in seasons:
        with transaction.atomic():
            season_lock(season.pk)
            for update in _unshipped(school, season):
                _update_withdraw(update, actor, disk, now)


def _unshipped(school: School, season: Season) -> list[Update]:
    updates = Update.objects.filter(node__school=school, plan__season=season, status__in=OPEN)
    updates = updates.exclude(round__status=RoundStatus.AGGREGATING).exclude(round__release__status__in=SHIPPED)
    return list(updates.select_related("plan"))


def _update_withdraw(update: Update, actor: str, disk: CentreDisk, now: datetime) -> None:
    was_counted, code = update.status == UpdateStatus.ACCEPTED, SchoolWithdrawn.code
    status_move(update, to=UpdateStatus.WITHDRAWN, actor=actor, reason=code, now=now, code=code)
    waiting = Round.objects.filter(updates=update, release__status=ReleaseStatus.AWAITING_SIGNATURE).first()
    if was_counted and waiting is not None:
        # Nobody has signed it, so it need not ship: what the others sent counts in the round that collects.
        # It follows for the whole country, where whoever withdraws a school of their region has no say.
        candidate_pass_over(round_=waiting, actor=ACTOR, now=now)
    transaction.on_commit(lambda: update_forget(update=update, disk=disk))
