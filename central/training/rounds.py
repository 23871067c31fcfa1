"""Brings rounds to their end: enough updates or the deadline, then aggregation, then a candidate release."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from central.releases.models import Release
from central.schools.transitions import status_move
from central.training.models import Round, RoundStatus, UpdateStatus
from federation.errors import FederationError
from federation.inference.errors import SuiteInvalid

LOGGER = logging.getLogger(__name__)
ACTOR = "centre"
ATTEMPT_SILENCE = timedelta(minutes=30)
NOT_ENOUGH = "not_enough_updates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a round's counts say is due."""

    is_due: bool
    reason: str


def round_judge(*, accepted: int, wanted: int, minimum: int, is_past_deadline: bool) -> Progress:
    """Return whether collecting is over, and why."""
    if accepted >= wanted:
        return Progress(is_due=True, reason="enough_updates")
    if not is_past_deadline:
        return Progress(is_due=False, reason="collecting")
    return Progress(is_due=True, reason="deadline" if accepted >= minimum else NOT_ENOUGH)


def round_advance(*, round_: Round, now: datetime) -> None:
    """End the collecting of a round that has enough updates or no time left."""
    accepted = round_.updates.filter(status=UpdateStatus.ACCEPTED).count()
    progress = round_judge(
        accepted=accepted, wanted=round_.wanted, minimum=round_.minimum, is_past_deadline=now >= round_.closes_at
    )
    if not progress.is_due:
        return
    if progress.reason == NOT_ENOUGH:
        round_abandon(round_=round_, reason=f"{NOT_ENOUGH}: {accepted}", now=now)
        return
    status_move(
        round_,
        to=RoundStatus.AGGREGATING,
        actor=ACTOR,
        reason=progress.reason,
        now=now,
        why_ended=progress.reason,
    )


def round_abandon(*, round_: Round, reason: str, now: datetime, actor: str = ACTOR) -> None:
    """End a round without a release; the reason stands in it."""
    status_move(
        round_, to=RoundStatus.ABANDONED, actor=actor, reason=reason, now=now, why_ended=reason[:200], ended_at=now
    )


def round_claim(*, round_: Round, now: datetime) -> bool:
    """Tell whether this process may aggregate the round now: no other has given a sign of life for half an hour."""
    with transaction.atomic():
        held = Round.objects.select_for_update().get(pk=round_.pk)
        is_taken = held.attempt_at is not None and held.attempt_at > now - ATTEMPT_SILENCE
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


def round_aggregate(*, round_: Round, clock: Callable[[], datetime], make: Callable[[Round], Release]) -> None:
    """Let `make` turn an aggregating round's updates into a judged candidate; a refused one still completes the round.

    One process does so at a time; another takes over half an hour after the last sign of life of one that was cut. A
    question suite that cannot be used holds the round up until the operator has mended it: the next tick looks again.
    """
    claimed_at = clock()
    if not round_claim(round_=round_, now=claimed_at):
        return
    try:
        release = make(round_)
    except SuiteInvalid:
        # Not the updates' fault. The candidate stands at the gate and says why it waits.
        round_hand_back(round_=round_, claimed_at=claimed_at)
        return
    except FederationError as error:
        LOGGER.exception("round %s made no release", round_.plan_id)
        round_abandon(round_=round_, reason=str(error), now=clock())
        return
    status_move(round_, to=RoundStatus.COMPLETED, actor=ACTOR, now=clock(), release=release, ended_at=clock())
