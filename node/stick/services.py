"""Read and write sticks, one at a time; the only writer of trips.

The row of a trip is there before anything is touched and says how far it is, so that the page, which is another
process, can draw a bar; it is written at most twice a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from federation.errors import FederationError, TransportError
from federation.trust.stick_disk import StickDisk
from federation.wire.canonical import from_plain, to_plain
from node.stick.bringing import Bench, BringingIn
from node.stick.enrolment import claim_keep
from node.stick.models import StickTrip
from node.stick.outcomes import BroughtIn, WrittenOut
from node.stick.writing import school_write
from node.sync.claim import Claim
from node.sync.locks import is_stick_waiting, stick_alone

OutcomeT = TypeVar("OutcomeT", BroughtIn, WrittenOut)
KEPT_TRIPS = 50
BEGIN_WITHIN = timedelta(seconds=60)
HEARD_SECONDS = 0.5


class StickCut(TransportError):
    """The process that read or wrote a stick ended without a word: a power cut, or it was killed."""

    code = "stick_cut"


def trip_begin(*, way: StickTrip.Way, place: Path, now: datetime) -> StickTrip:
    """Return the row of a trip that is about to be made."""
    older = list(StickTrip.objects.values_list("pk", flat=True)[KEPT_TRIPS:])
    StickTrip.objects.filter(pk__in=older).delete()
    return StickTrip.objects.create(way=way, place=str(place), started_at=now)


def trip_newest(*, root: Path, now: datetime) -> StickTrip | None:
    """Return the newest trip; one whose process has ended without a word, or never began, has failed as cut."""
    trip = StickTrip.objects.first()
    if trip is None or trip.status != StickTrip.Status.RUNNING or is_stick_waiting(root):
        return trip
    has_begun = bool(trip.step) or now - trip.started_at > BEGIN_WITHIN
    cut = StickTrip.objects.filter(pk=trip.pk, status=StickTrip.Status.RUNNING)
    if has_begun:
        cut.update(status=StickTrip.Status.FAILED, error_code=StickCut.code, ended_at=now)
    trip.refresh_from_db()
    return trip


def stick_bring_in(*, trip: StickTrip, bench: Bench) -> BroughtIn:
    """Return what came of taking the trip's stick in; it is kept with the trip.

    Raises:
        FederationError: as `BringingIn.all`, or another stick is in hand; kept with the trip too.
    """

    def act(disk: StickDisk) -> BroughtIn:
        return BringingIn(disk=disk, bench=replace(bench, heard=_heard(trip))).all()

    return _made(trip, bench.root, bench.clock, act)


def stick_write_out(
    *, trip: StickTrip, root: Path, clock: Callable[[], datetime], claim: Claim | None = None
) -> WrittenOut:
    """Return what was put on the trip's stick; with a `claim`, a PC without a school asks to enrol by it.

    Raises:
        FederationError: as `school_write` and `claim_keep`, or another stick is in hand; kept with the trip too.
    """

    def act(disk: StickDisk) -> WrittenOut:
        _heard(trip)("writing", 0, 0)
        if claim is not None:
            disk.open()
            claim_keep(root=root, disk=disk, claim=claim)
        return school_write(root=root, disk=disk, now=clock())

    return _made(trip, root, clock, act)


def outcome_read(trip: StickTrip) -> BroughtIn | WrittenOut:
    """Return what came of a trip that is done."""
    if trip.way == StickTrip.Way.BRING_IN:
        return from_plain(BroughtIn, trip.outcome)
    return from_plain(WrittenOut, trip.outcome)


def _made(trip: StickTrip, root: Path, clock: Callable[[], datetime], act: Callable[[StickDisk], OutcomeT]) -> OutcomeT:
    try:
        with stick_alone(root):
            outcome = act(StickDisk(Path(trip.place)))
    except FederationError as error:
        fields = {name: str(value)[:300] for name, value in error.fields.items()}
        _end(trip, StickTrip.Status.FAILED, clock(), error_code=error.code, error_fields=fields)
        raise
    _end(trip, StickTrip.Status.DONE, clock(), outcome=to_plain(outcome))
    return outcome


def _end(trip: StickTrip, status: StickTrip.Status, now: datetime, **changes: object) -> None:
    trip.status, trip.ended_at = status, now
    for name, value in changes.items():
        setattr(trip, name, value)
    trip.save()


def _heard(trip: StickTrip) -> Callable[[str, int, int], None]:
    """Return what writes down how far the trip is: each new step at once, the bytes of one now and then."""
    written_at = 0.0

    def heard(step: str, done: int, total: int) -> None:
        nonlocal written_at
        if step == trip.step and done < total and time.monotonic() - written_at < HEARD_SECONDS:
            return
        written_at = time.monotonic()
        trip.step, trip.bytes_done, trip.bytes_total = step, done, total
        trip.save(update_fields=["step", "bytes_done", "bytes_total"])

    return heard
