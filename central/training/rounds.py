"""Brings rounds to their end: enough updates or the deadline, then aggregation, then a candidate release.

Each step is one transaction under the season's lock, so wherever a process is killed, every accepted update is counted
by exactly one round, and the next tick goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, transaction

from central.disk import CentreDisk
from central.releases.models import Release, ReleaseStatus
from central.releases.services import release_pass_over
from central.schools.audit import audit_record
from central.schools.reach import entity_of, steering_expect
from central.schools.transitions import status_move
from central.training.buffer import Buffer, Due, Progress, round_judge
from central.training.claim import Claim, claim_hold
from central.training.errors import RoundBlocked, RoundNotEnough, RoundUnknown
from central.training.models import Round, RoundStatus, Season, SeasonStatus, Update, UpdateStatus
from central.training.plans import PASSED_OVER, season_version, settings_of
from central.training.privacy_ledger import round_charge
from central.training.seasons import candidate_undecided, candidate_waits, round_open_next, season_lock
from federation.errors import FederationError
from federation.inference.errors import SuiteInvalid

LOGGER = logging.getLogger(__name__)
ACTOR = "centre"
ATTEMPT_SILENCE = timedelta(minutes=30)


def round_get(round_id: str) -> Round:
    """Return the round of this id.

    Raises:
        RoundUnknown: there is none.
    """
    round_ = Round.objects.select_related("season__base").filter(round_id=round_id).first()
    if round_ is None:
        raise RoundUnknown(round_id=round_id[:64])
    return round_


def schools_counted(round_: Round) -> int:
    """Return of how many schools the round has an accepted update."""
    return round_.updates.accepted().order_by().values("node__school").distinct().count()


def round_progress(round_: Round, *, now: datetime) -> Progress:
    """Return what is due to a round that collects, and why."""
    season = round_.season
    least = timedelta(days=settings_of(season).least_days)
    return round_judge(
        Buffer(
            accepted=schools_counted(round_),
            wanted=round_.wanted,
            minimum=round_.minimum,
            is_young=now < round_.opened_at + least,
            is_past_deadline=now >= round_.closes_at,
            is_season_open=season.status == SeasonStatus.OPEN,
            is_another_combined=season.rounds.filter(status=RoundStatus.AGGREGATING).exists(),
            is_candidate_waiting=candidate_waits(season),
        )
    )


def round_advance(*, round_: Round, now: datetime, screened: frozenset[int] | None = None) -> Progress:
    """Do what is due to a round that collects, and return what that was.

    `screened` are the updates that a robust season has looked at; one that came since puts the combining off.
    """
    with transaction.atomic():
        _lock(round_)
        if round_.status != RoundStatus.COLLECTING:
            return Progress(due=Due.NOTHING, reason=str(round_.status))
        progress = round_progress(round_, now=now)
        if progress.due is Due.COMBINE:
            if screened is not None and not set(round_.updates.accepted().values_list("pk", flat=True)) <= screened:
                return Progress(due=Due.NOTHING, reason="not_screened")
            _combine_begin(round_, reason=progress.reason, now=now)
        elif progress.due is Due.EXTEND:
            closes_at = now + timedelta(days=settings_of(round_.season).round_days)
            _deadline_put(round_, closes_at, actor=ACTOR, reason=progress.reason, now=now)
        elif progress.due is Due.ABANDON:
            round_abandon(round_=round_, reason=progress.reason, now=now)
    return progress


def round_combine_now(*, round_: Round, actor: str, now: datetime) -> None:
    """Put a round's deadline to now: the next look screens and combines what it has, and passes over what waits.

    Raises:
        RoundNotEnough: it has updates of fewer schools than its minimum.
        RoundBlocked: it does not collect, or another round of the season is being combined.
        RoleReadsOnly, OutsideRegion: `actor` has no say in rounds.
    """
    steering_expect(actor=actor, rows=[round_])
    with transaction.atomic():
        season = _lock(round_)
        accepted = schools_counted(round_)
        if accepted < round_.minimum:
            raise RoundNotEnough(accepted=accepted, minimum=round_.minimum)
        is_another = season.rounds.filter(status=RoundStatus.AGGREGATING).exists()
        if is_another or round_.status != RoundStatus.COLLECTING:
            raise RoundBlocked(round_id=round_.round_id)
        _deadline_put(round_, now, actor=actor, reason="combine_now", now=now)


def round_abandon(*, round_: Round, reason: str, now: datetime, actor: str = ACTOR) -> None:
    """End a round without a release; the reason stands in it, and an open season goes on with a next one.

    What it has accepted waits in it: `round_retry` has it combined after all.
    """
    with transaction.atomic():
        season = _lock(round_)
        status_move(
            round_, to=RoundStatus.ABANDONED, actor=actor, reason=reason, now=now, why_ended=reason[:200], ended_at=now
        )
        _next_open(season, now)


def round_retry(*, round_: Round, actor: str, now: datetime) -> None:
    """Have an abandoned round's updates combined after all.

    Raises:
        RoundNotEnough: it has accepted none.
        RoundBlocked: the season has another candidate under way, or one that waits for its signature.
        StatusMoveIllegal: it was not abandoned.
    """
    with transaction.atomic():
        season = _lock(round_)
        if not round_.updates.accepted().exists():
            raise RoundNotEnough(accepted=0, minimum=round_.minimum)
        if season.rounds.filter(status=RoundStatus.AGGREGATING).exists() or candidate_waits(season):
            raise RoundBlocked(round_id=round_.round_id)
        status_move(
            round_,
            to=RoundStatus.AGGREGATING,
            only_from=RoundStatus.ABANDONED,
            actor=actor,
            now=now,
            ended_at=None,
            attempt_at=None,
        )
        _freeze(round_, now)


def candidate_pass_over(*, round_: Round, actor: str, now: datetime) -> None:
    """Go on without the round's candidate, which nobody has signed: its updates count in the round that collects.

    In a closed season, in which none does, they stay where they are.

    Raises:
        RoundBlocked: its release does not await its signature.
    """
    with transaction.atomic():
        season = _lock(round_)
        _pass_over(round_, _collecting(season), actor, now)


def round_claim(*, round_: Round, now: datetime, is_left: bool = False) -> bool:
    """Tell whether this process may aggregate the round now: no other has given a sign of life for half an hour.

    Where `is_left`, the process that claimed it last is known to have ended, and nobody waits for it.
    """
    with transaction.atomic():
        held = Round.objects.select_for_update().get(pk=round_.pk)
        is_taken = held.attempt_at is not None and held.attempt_at > now - ATTEMPT_SILENCE and not is_left
        if held.status != RoundStatus.AGGREGATING or is_taken:
            return False
        Round.objects.filter(pk=held.pk).update(attempt_at=now)
    return True


def round_keep(*, round_: Round, now: datetime) -> None:
    """Record a sign of life of the process that aggregates the round, so that no other takes over."""
    Round.objects.filter(pk=round_.pk, status=RoundStatus.AGGREGATING).update(attempt_at=now)


def round_hand_back(*, round_: Round, claimed_at: datetime) -> None:
    """Let any process aggregate the round at once, unless another has taken over since this one claimed it."""
    Round.objects.filter(pk=round_.pk, attempt_at=claimed_at).update(attempt_at=None)


def round_aggregate(
    *, round_: Round, disk: CentreDisk, clock: Callable[[], datetime], make: Callable[[Round], Release]
) -> None:
    """Let `make` turn an aggregating round's updates into a judged candidate; a refused one still completes the round.

    One process does so at a time. Another takes over from one that was cut: on the same machine at once, on another
    half an hour after its last sign of life. A question suite that cannot be used holds the round up until the operator
    has mended it: the next tick looks again.
    """
    with claim_hold(disk.claims, round_id=round_.round_id) as claim:
        claimed_at = clock()
        if not round_claim(round_=round_, now=claimed_at, is_left=claim.is_left):
            return
        claim.sign()
        _claimed_aggregate(round_, claim, claimed_at, clock, make)


def _claimed_aggregate(
    round_: Round, claim: Claim, claimed_at: datetime, clock: Callable[[], datetime], make: Callable[[Round], Release]
) -> None:
    try:
        release = make(round_)
    except SuiteInvalid:
        # Not the updates' fault. The candidate stands at the gate and says why it waits.
        round_hand_back(round_=round_, claimed_at=claimed_at)
        return
    except FederationError as error:
        LOGGER.exception("round %s made no release", round_.round_id)
        round_abandon(round_=round_, reason=str(error), now=clock())
        return
    except (InterfaceError, OperationalError):
        # The database went away, and what was begun is gone on with once it is back.
        raise
    except Exception:
        # It would fail again at once: a disk that is full.
        claim.withdraw()
        raise
    status_move(round_, to=RoundStatus.COMPLETED, actor=ACTOR, now=clock(), release=release, ended_at=clock())


def _lock(round_: Round) -> Season:
    """Return the round's season, locked; both are as the database has them now."""
    season = season_lock(round_.season_id)
    round_.refresh_from_db()
    round_.season = season
    return season


def _combine_begin(round_: Round, *, reason: str, now: datetime) -> None:
    waiting = candidate_undecided(round_.season)
    if waiting is not None:
        _pass_over(waiting, round_, ACTOR, now)
    status_move(round_, to=RoundStatus.AGGREGATING, actor=ACTOR, reason=reason, now=now, why_ended=reason)
    _freeze(round_, now)


def _freeze(round_: Round, now: datetime) -> None:
    """Settle what the round counts: later updates, and further ones of a school in it, belong to the next."""
    season = round_.season
    further = _further_of_a_school(round_)
    following = _next_open(season, now, is_needed=bool(further))
    if following is not None:
        Update.objects.filter(pk__in=further).update(round=following)
    version = season_version(season)
    for of_start in set(season.plans.values_list("version", flat=True)):
        counted = Update.objects.filter(round=round_, status=UpdateStatus.ACCEPTED, plan__version=of_start)
        counted.update(staleness=version - of_start)
    round_charge(round_=round_, now=now)


def _further_of_a_school(round_: Round) -> list[int]:
    """Return all but the first update of each school: in one round it has one voice, however many PCs it has."""
    seen: set[int] = set()
    further = []
    for pk, school in round_.updates.accepted().values_list("pk", "node__school"):
        if school in seen:
            further.append(pk)
        seen.add(school)
    return further


def _next_open(season: Season, now: datetime, *, is_needed: bool = False) -> Round | None:
    collecting = _collecting(season)
    if collecting is None and (season.status == SeasonStatus.OPEN or is_needed):
        return round_open_next(season=season, actor=ACTOR, now=now)
    return collecting


def _collecting(season: Season) -> Round | None:
    return season.rounds.filter(status=RoundStatus.COLLECTING).first()


def _pass_over(round_: Round, into: Round | None, actor: str, now: datetime) -> None:
    if round_.release is None or round_.release.status != ReleaseStatus.AWAITING_SIGNATURE:
        raise RoundBlocked(round_id=round_.round_id)
    release_pass_over(release=round_.release, actor=actor, reason=PASSED_OVER, now=now)
    if into is not None:
        round_.updates.accepted().update(round=into)


def _deadline_put(round_: Round, closes_at: datetime, *, actor: str, reason: str, now: datetime) -> None:
    Round.objects.filter(pk=round_.pk).update(closes_at=closes_at)
    round_.closes_at = closes_at
    status = str(round_.status)
    audit_record(actor=actor, entity=entity_of(round_), old=status, new=status, reason=reason, now=now)
