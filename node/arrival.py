"""Why nothing newer runs on this PC yet: how far the release that the centre names is, and what holds it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum

from federation.wire.releases import Assignment, InstallState
from node.hours import is_within
from node.sync.change_over import hours_of
from node.sync.link_rule import LinkRule


class Arrival(StrEnum):
    """Where the newest release stands, seen from this PC."""

    UNHEARD = "unheard"
    """The centre has not said yet what this PC should run."""
    NEWEST = "newest"
    """What the centre names runs."""
    HELD = "held"
    """The centre names nothing newer; `Newer.reason` says why."""
    WINDOW = "window"
    """The head lets releases come at other hours."""
    COMING = "coming"
    DATE = "date"
    """All of it is here and waits for the ministry's date."""
    HOURS = "hours"
    """All of it is here and waits for the ministry's hours."""
    STAGED = "staged"
    """All of it is here and is tested next."""
    TESTING = "testing"
    TRIAL = "trial"
    REFUSED = "refused"
    """This PC could not take it; `Newer.reason` is the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer:
    """The arrival, and what a reader wants to know beside it."""

    arrival: Arrival
    reason: str = ""
    bytes_fetched: int = 0
    opens: str = ""
    closes: str = ""
    """The hours that are waited for, by the school's own clock, as 18:00."""
    activates_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What this PC has recorded of the release that is assigned to it."""

    state: InstallState
    error_code: str
    bytes_fetched: int


_REFUSED = frozenset(
    {InstallState.FAILED_DOWNLOAD, InstallState.FAILED_VERIFY, InstallState.REVERTED, InstallState.SKIPPED}
)


def newer_of(
    *, assignment: Assignment | None, held: Held | None, running: str, rule: LinkRule, now: datetime, here: time
) -> Newer:
    """Return why nothing newer runs at `now`, which is `here` by the school's own clock; `running` is a digest."""
    if held is not None and (held.state in _REFUSED or held.state is InstallState.TRIAL):
        return Newer(arrival=Arrival.REFUSED if held.state in _REFUSED else Arrival.TRIAL, reason=held.error_code)
    if assignment is None:
        return Newer(arrival=Arrival.UNHEARD)
    if assignment.release is None or assignment.release == running:
        reason = assignment.waiting_reason
        return Newer(arrival=Arrival.HELD if reason else Arrival.NEWEST, reason=reason)
    if held is None or held.state is InstallState.DOWNLOADING:
        return _on_its_way(assignment, held, rule, here)
    if held.state is InstallState.TESTING:
        return Newer(arrival=Arrival.TESTING)
    return _staged(assignment, now, here, has_release=bool(running))


def _on_its_way(assignment: Assignment, held: Held | None, rule: LinkRule, here: time) -> Newer:
    fetched = held.bytes_fetched if held else 0
    if assignment.is_forced or rule.is_open(here):
        return Newer(arrival=Arrival.COMING, bytes_fetched=fetched)
    return Newer(
        arrival=Arrival.WINDOW, bytes_fetched=fetched, opens=_hour(rule.opens_at), closes=_hour(rule.closes_at)
    )


def _staged(assignment: Assignment, now: datetime, here: time, *, has_release: bool) -> Newer:
    if assignment.activates_at is not None and now < assignment.activates_at:
        return Newer(arrival=Arrival.DATE, activates_at=assignment.activates_at)
    opens_at, closes_at = hours_of(assignment)
    if has_release and not assignment.is_forced and not is_within(here, opens_at=opens_at, closes_at=closes_at):
        return Newer(arrival=Arrival.HOURS, opens=_hour(opens_at), closes=_hour(closes_at))
    return Newer(arrival=Arrival.STAGED)


def _hour(hour: time | None) -> str:
    return hour.strftime("%H:%M") if hour else ""
