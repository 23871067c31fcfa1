"""The pure rules of a change of program: one state, one function per event, and the file that keeps it.

The candidate is rehearsed beside the program that runs, without a state of its own: a cut begins it anew. From the
moment at which the service is stopped until the new program has proved itself, the state says how to go on.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from federation.trust.durable import durable_write
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from node.programs.errors import UpdateStateUnreadable

STATE_NAME = "update.json"
TRIES = 3
"""A program that takes the whole PC down is left behind after so many starts."""
REMEMBERED = 20


class UpdatePhase(enum.Enum):
    """What has to be brought to its end before another program is looked at."""

    IDLE = "idle"
    SWITCHING = "switching"
    TRIAL = "trial"
    GOING_BACK = "going_back"
    TIDYING = "tidying"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A program that did not serve here; it is not tried again."""

    digest: str
    version: str
    code: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The program that is to run: `folder` and `previous` are names under `versions`."""

    digest: str
    version: str
    folder: str
    previous: str
    has_engine: bool
    """The engine answered before the change, so it must after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """How a change of program stands."""

    phase: UpdatePhase = UpdatePhase.IDLE
    candidate: Candidate | None = None
    tries_left: int = 0
    code: str = ""
    """Why it is going back."""
    given_up: tuple[GivenUp, ...] = ()


def switch_begun(update: Update, candidate: Candidate) -> Update:
    """Return the state in which the service may be stopped."""
    return replace(update, phase=UpdatePhase.SWITCHING, candidate=candidate)


def trial_begun(update: Update) -> Update:
    """Return the state in which the new program is the one that starts."""
    return replace(update, phase=UpdatePhase.TRIAL, tries_left=TRIES)


def try_begun(update: Update) -> Update:
    """Return the state as it must be on the disk before the new program is waited for: one try fewer."""
    return replace(update, tries_left=update.tries_left - 1)


def trial_passed(update: Update) -> Update:
    """Return the state in which the new program stays, and the way back may be taken away."""
    return replace(update, phase=UpdatePhase.TIDYING)


def going_back(update: Update, *, code: str) -> Update:
    """Return the state in which the older program is put back, because of `code`."""
    return replace(update, phase=UpdatePhase.GOING_BACK, code=code)


def gone_back(update: Update, *, now: datetime) -> Update:
    """Return the state in which the older program may run again, and the newer one is remembered."""
    if update.candidate is None:
        return at_rest(update)
    digest, version = update.candidate.digest, update.candidate.version
    tidying = replace(update, phase=UpdatePhase.TIDYING)
    return gave_up(tidying, digest=digest, version=version, code=update.code, now=now)


def at_rest(update: Update) -> Update:
    """Return the state in which nothing is under way."""
    return Update(given_up=update.given_up)


def gave_up(update: Update, *, digest: str, version: str, code: str, now: datetime) -> Update:
    """Return the state in which the program `digest` is not tried again."""
    failed = GivenUp(digest=digest, version=version, code=code, at=now)
    return replace(update, given_up=(*update.given_up, failed)[-REMEMBERED:])


def is_overtaken(update: Update, *, current: str) -> bool:
    """Tell whether a person has installed something else meanwhile: `current` is the folder of what runs."""
    if update.candidate is None:
        return False
    may_run = {update.candidate.folder, update.candidate.previous}
    return current not in may_run or (update.phase is UpdatePhase.TRIAL and current != update.candidate.folder)


def is_given_up(update: Update, digest: str) -> bool:
    """Tell whether the program `digest` did not serve here."""
    return any(each.digest == digest for each in update.given_up)


def update_read(opt: Path) -> Update:
    """Return how a change of program stands; at rest where there never was one.

    Raises:
        UpdateStateUnreadable: the file is there and not in order.
    """
    try:
        return parse(Update, (opt / STATE_NAME).read_bytes())
    except FileNotFoundError:
        return Update()
    except (OSError, MalformedDocument) as error:
        raise UpdateStateUnreadable(path=str(opt / STATE_NAME), problem=str(error)) from error


def update_write(opt: Path, update: Update) -> None:
    """Keep the state: after a power cut the file holds the old one or the new one."""
    durable_write(opt / STATE_NAME, canonical_bytes(update))
