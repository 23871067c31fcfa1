"""When a school's PC changes over to the release that it has fetched: on the date, and in the hours, of the assignment.

A date binds always. Hours bind a PC that has something to interrupt: not one where no release answers yet, and not
where the ministry said that it cannot wait. Both are judged by the school's own clock, because there is no other while
the link is away; a clock that is wrong changes over early or late, and never to another release.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path

from django.utils import timezone

from federation.trust.envelopes import ASSIGNMENT, envelope_payload_unverified
from federation.wire.canonical import parse
from federation.wire.releases import Assignment
from node.hours import is_within
from node.installed.self_test import SelfTest, self_test_run
from node.installed.services import candidate_begin_trial, candidate_test, is_staged
from node.installed.state import slots_read
from node.sync.link_rule import LinkRule
from node.sync.models import SeenAssignment


def may_change_over(assignment: Assignment, *, has_release: bool, now: datetime, here: time) -> bool:
    """Return whether the PC may change over at `now`, which is `here` by the school's own clock."""
    if assignment.activates_at is not None and now < assignment.activates_at:
        return False
    opens_at, closes_at = hours_of(assignment)
    return assignment.is_forced or not has_release or is_within(here, opens_at=opens_at, closes_at=closes_at)


def hours_of(assignment: Assignment) -> tuple[time | None, time | None]:
    """Return between which hours of the school's own clock the PC may change over; None: at any."""
    return _time(assignment.opens_minute), _time(assignment.closes_minute)


def is_time_to_change_over(assignment: Assignment, *, root: Path, clock: Callable[[], datetime]) -> bool:
    """Return whether the PC at `root` may change over now."""
    now = clock()
    has_release = slots_read(root).current is not None
    return may_change_over(assignment, has_release=has_release, now=now, here=timezone.localtime(now).time())


def link_rule_under(assignment: Assignment, rule: LinkRule) -> LinkRule:
    """Return the head's rule for the link as it binds this release: one that cannot wait keeps the cap alone."""
    return replace(rule, opens_at=None, closes_at=None) if assignment.is_forced else rule


def staged_change_over(*, root: Path, clock: Callable[[], datetime], self_test: SelfTest = self_test_run) -> bool:
    """Test the staged release of the newest assignment and begin its trial, if its time has come; tell whether so.

    It needs neither a link nor a stick: the release was verified when it was staged.

    Raises:
        IllegalStep: another release is on trial.
        ReleaseDamaged: the staged release's directory is not in order.
    """
    assignment = assignment_seen()
    digest = _staged_release(assignment)
    if assignment is None or digest is None or not is_time_to_change_over(assignment, root=root, clock=clock):
        return False
    verdict = candidate_test(root=root, digest=digest, self_test=self_test, now=clock())
    if verdict.has_passed:
        candidate_begin_trial(root=root, now=clock())
    return verdict.has_passed


def is_waiting_for_its_time(*, root: Path, clock: Callable[[], datetime]) -> bool:
    """Tell whether all of the newest assignment is here and only its time has not come."""
    assignment = assignment_seen()
    if assignment is None or _staged_release(assignment) is None:
        return False
    return not is_time_to_change_over(assignment, root=root, clock=clock)


def assignment_seen() -> Assignment | None:
    """Return the newest assignment that this node has accepted; it was verified then."""
    seen = SeenAssignment.objects.first()
    return (
        None if seen is None else parse(Assignment, envelope_payload_unverified(bytes(seen.envelope), kind=ASSIGNMENT))
    )


def _staged_release(assignment: Assignment | None) -> str | None:
    """Return the release that the assignment names if all of it is here and has not been tried yet."""
    if assignment is None or assignment.release is None:
        return None
    return assignment.release if is_staged(digest=assignment.release, sequence=assignment.sequence) else None


def _time(minute: int | None) -> time | None:
    return None if minute is None else time(hour=minute // 60 % 24, minute=minute % 60)
