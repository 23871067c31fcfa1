"""The one thing that a person at the school should do next, or that all is well. Pure.

The rules stand in their order: what keeps pupils from being answered first, then what keeps the school from the centre,
then what would hurt one day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from node.arrival import Arrival, Newer
from node.sync.claim import Awaited

SILENT = timedelta(days=30)
"""A school by stick is visited once in a month or two; earlier would be a false alarm there."""
SILENT_BY_LINK = timedelta(days=7)
BACKUP_AGE = timedelta(days=30)
CLOCK_SECONDS = 300.0
REFUSED_HERE = frozenset({"reverted_here", "verify_failed_here", "skipped_here"})
"""The centre's codes for a release that it does not offer again, because this PC could not take it."""


class NextStep(StrEnum):
    """What to do; `ALL_WELL` is nothing."""

    DISK = "disk"
    LOOK_AFTER_RESTORE = "look_after_restore"
    ENROL_AWAIT = "enrol_await"
    ENROL_AWAIT_STICK = "enrol_await_stick"
    ENROL_ANEW = "enrol_anew"
    ENROL = "enrol"
    MODEL_BRING = "model_bring"
    ENGINE_LOOK = "engine_look"
    CLOCK_SET = "clock_set"
    MINISTRY_TELL = "ministry_tell"
    CENTRE_REACH = "centre_reach"
    MEMORY_FREE = "memory_free"
    BACKUP_MAKE = "backup_make"
    ALL_WELL = "all_well"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the choice depends on."""

    is_enrolled: bool
    awaited: Awaited
    """What a PC without a school waits for."""
    is_claim_refused: bool
    has_release: bool
    does_engine_answer: bool
    is_disk_short: bool
    is_memory_short: bool
    is_withdrawn: bool
    is_metadata_expired: bool
    is_restore_unsettled: bool
    clock_off_seconds: float
    has_link: bool
    """The centre has an address that this PC calls."""
    silent_for: timedelta | None
    """Since the centre was heard; None: never."""
    backup_age: timedelta | None
    """Of the newest backup; None: there has been none."""
    newer: Newer


def next_step(standing: Standing) -> NextStep:
    """Return what to do first."""
    claims = (
        (standing.is_disk_short, NextStep.DISK),
        (standing.is_restore_unsettled, NextStep.LOOK_AFTER_RESTORE),
        (not standing.is_enrolled, _enrol_step(standing)),
        (abs(standing.clock_off_seconds) >= CLOCK_SECONDS, NextStep.CLOCK_SET),
        (not standing.has_release, NextStep.MODEL_BRING),
        (not standing.does_engine_answer, NextStep.ENGINE_LOOK),
        (_is_for_the_ministry(standing), NextStep.MINISTRY_TELL),
        (_is_silent(standing), NextStep.CENTRE_REACH),
        (standing.is_memory_short, NextStep.MEMORY_FREE),
        (standing.backup_age is None or standing.backup_age > BACKUP_AGE, NextStep.BACKUP_MAKE),
    )
    return next((step for is_so, step in claims if is_so), NextStep.ALL_WELL)


def _enrol_step(standing: Standing) -> NextStep:
    if standing.awaited is Awaited.NOTHING:
        return NextStep.ENROL
    if standing.awaited is Awaited.STICK:
        return NextStep.ENROL_AWAIT_STICK
    return NextStep.ENROL_ANEW if standing.is_claim_refused else NextStep.ENROL_AWAIT


def _is_for_the_ministry(standing: Standing) -> bool:
    newer = standing.newer
    is_refused = newer.arrival is Arrival.REFUSED or (newer.arrival is Arrival.HELD and newer.reason in REFUSED_HERE)
    return standing.is_withdrawn or is_refused


def _is_silent(standing: Standing) -> bool:
    longest = SILENT_BY_LINK if standing.has_link else SILENT
    return standing.is_metadata_expired or standing.silent_for is None or standing.silent_for > longest
