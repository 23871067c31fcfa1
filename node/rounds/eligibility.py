"""When this PC may learn, and when it must make way. Pure: the PC's state and the school's rule in, a hindrance out.

Power is cut in some schools from 8 to 17 and from 22 to 5 o'clock in winter, so no fixed night serves all: by default
the window is open from 17 to 7 o'clock, and at any other hour, holidays too, once nobody has asked for two hours. A
pupil's question comes before learning at every hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time
from enum import StrEnum

from node.hours import is_within

OPENS_AT, CLOSES_AT = time(17), time(7)
IDLE_MINUTES = 120
QUIET_SECONDS = 10.0
"""So long after the last answer a training that made way goes on."""
LEAST_START_MEMORY = 1280 * 2**20
"""Beside the package's pages, which the kernel counts as available: what a training of the smallest model takes."""
LEAST_MEMORY = 128 * 2**20
LEAST_DISK = 256 * 2**20
MOST_LOAD_A_CORE = 0.75


class Hindrance(StrEnum):
    """Why this PC does not learn now."""

    STOPPED = "stopped"
    """A person of the school said so."""
    CHAT = "chat"
    HOURS = "hours"
    BATTERY = "battery"
    BUSY = "busy"
    MEMORY = "memory"
    DISK = "disk"


class Pace(StrEnum):
    """What a training that runs should do."""

    GO = "go"
    WAIT = "wait"
    """Stand still where it is, until there is quiet."""
    STOP = "stop"
    """Leave a checkpoint and end; it goes on when nothing hinders any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRule:
    """What the school decided; a window of no length is always open, `idle_minutes` of None never opens it."""

    opens_at: time = OPENS_AT
    closes_at: time = CLOSES_AT
    idle_minutes: int | None = IDLE_MINUTES
    is_stopped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PcState:
    """What the PC is doing."""

    clock: time
    """The school's own time."""
    is_answering: bool
    idle_seconds: float
    """Since the last question or answer."""
    is_on_battery: bool
    load_a_core: float
    memory_available_bytes: int
    disk_free_bytes: int


def start_hindrance(rule: LearningRule, state: PcState, *, is_asked: bool) -> Hindrance | None:
    """Return why a training must not begin now, or None; one that a person asks for minds no hours and no load."""
    always = (
        (rule.is_stopped, Hindrance.STOPPED),
        (state.disk_free_bytes < LEAST_DISK, Hindrance.DISK),
        (state.memory_available_bytes < LEAST_START_MEMORY, Hindrance.MEMORY),
    )
    unasked = (
        (state.is_on_battery, Hindrance.BATTERY),
        (state.is_answering or state.idle_seconds < QUIET_SECONDS, Hindrance.CHAT),
        (not is_open(rule, state), Hindrance.HOURS),
        (state.load_a_core > MOST_LOAD_A_CORE, Hindrance.BUSY),
    )
    return _first(always if is_asked else always + unasked)


def running_hindrance(rule: LearningRule, state: PcState, *, is_asked: bool, is_waiting: bool) -> Hindrance | None:
    """Return why a training that runs, or waits, must not go on at this moment, or None."""
    is_chat = state.is_answering or (is_waiting and state.idle_seconds < QUIET_SECONDS)
    return _first(
        (
            (rule.is_stopped, Hindrance.STOPPED),
            (state.memory_available_bytes < LEAST_MEMORY, Hindrance.MEMORY),
            (not is_asked and state.is_on_battery, Hindrance.BATTERY),
            (is_chat, Hindrance.CHAT),
            # What began outside the window because nobody asked ends with the first question, after its answer.
            (not is_asked and not is_open(rule, state), Hindrance.HOURS),
        )
    )


def pace_of(hindrance: Hindrance | None) -> Pace:
    """Return what a training does about a hindrance: a chat is soon over, the others are not."""
    if hindrance is None:
        return Pace.GO
    return Pace.WAIT if hindrance is Hindrance.CHAT else Pace.STOP


def is_open(rule: LearningRule, state: PcState) -> bool:
    """Return whether the school lets the PC learn at this hour."""
    is_idle = rule.idle_minutes is not None and state.idle_seconds >= rule.idle_minutes * 60
    return is_idle or is_within(state.clock, opens_at=rule.opens_at, closes_at=rule.closes_at)


def _first(claims: Iterable[tuple[bool, Hindrance]]) -> Hindrance | None:
    return next((hindrance for is_so, hindrance in claims if is_so), None)
