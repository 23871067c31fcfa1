"""Takes in how nodes get on with their assigned release, and believes above all what they say they are running.

A node counts as committed only once it says so and says that it runs the release; an update server that counted the
written image as success went on while the devices had fallen back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction

from central.rollouts.models import (
    FAILURES,
    GONE,
    ON_THE_WAY,
    Assignment,
    AssignmentStatus,
    RolloutStatus,
)
from central.rollouts.shared import Look, parts_locked, rollouts_look
from central.rollouts.tick import rollout_halt
from central.schools.models import Node
from central.schools.transitions import status_move
from federation.wire.releases import InstallReport, InstallState

ACTOR = "node"
RUNS_ANOTHER = "runs_another_release"
ROLLED_BACK = "rolled_back"


def install_reports_take_in(*, node: Node, reports: Sequence[InstallReport], look: Look, now: datetime) -> Look:
    """Move the node's assignments as `reports` and `node.running` say; an old or impossible report changes nothing.

    A failure that is one too many pauses its rollout before the answer goes out. Returns what a look finds then.
    """
    if not reports and not _has_news(node.running, look.parts):
        return look
    with transaction.atomic():
        held = parts_locked(node, look.shared)
        failed_before = _failed(held)
        for report in reports:
            assignment = _assignment_of(held, report)
            if assignment is not None:
                _report_apply(assignment, report, now)
        _running_believe(node.running, held, now)
    failed = sorted(_failed(held) - failed_before)
    # After the commit, because a tick locks a rollout before its assignments.
    for rollout_id in failed:
        rollout_halt(rollout_id=rollout_id, now=now)
    return rollouts_look(node) if failed else replace(look, parts=held)


def _has_news(running: str, held: Sequence[Assignment]) -> bool:
    """Tell whether what the node runs says anything new of the parts that it has; most check-ins say nothing new."""
    return any(_is_told_by(running, each) for each in held) or _fallen_back(running, held) is not None


def _failed(held: Sequence[Assignment]) -> set[int]:
    return {each.rollout_id for each in held if each.status in FAILURES}


def _assignment_of(held: Sequence[Assignment], report: InstallReport) -> Assignment | None:
    """Return the newest of the node's parts that the report may be on."""
    meant = [
        each
        for each in held
        if each.rollout.release.digest == report.release
        and each.sequence is not None
        and each.sequence <= report.sequence
    ]
    return meant[-1] if meant else None


def _report_apply(assignment: Assignment, report: InstallReport, now: datetime) -> None:
    facts: dict[str, Any] = {
        "error_code": report.error_code[:64],
        "bytes_fetched": max(report.bytes_fetched, 0),
        "reported_at": now,
    }
    if report.state is InstallState.COMMITTED:
        _facts_set(assignment, has_reported_commit=True, **facts)
        return
    to = AssignmentStatus(report.state.value)
    if not assignment.may_become(to):
        if assignment.status == to:
            _facts_set(assignment, **facts)
        return
    if to not in ON_THE_WAY:
        facts["ended_at"] = now
    status_move(assignment, to=to, actor=ACTOR, reason=report.error_code[:64], now=now, **facts)


def _facts_set(assignment: Assignment, **facts: Any) -> None:  # noqa: ANN401 - fields of several types
    Assignment.objects.filter(pk=assignment.pk).update(**facts)
    for name, value in facts.items():
        setattr(assignment, name, value)


def _running_believe(running: str, held: Sequence[Assignment], now: datetime) -> None:
    for assignment in held:
        if _is_told_by(running, assignment):
            _commit(assignment, held, now)
    fallen = _fallen_back(running, held)
    if fallen is not None:
        _fall_back(fallen, now)


def _is_told_by(running: str, assignment: Assignment) -> bool:
    """Tell whether the part may count as committed now, because its release runs."""
    is_running = running == assignment.rollout.release.digest
    return is_running and assignment.sequence is not None and _may_commit(assignment)


def _fallen_back(running: str, held: Sequence[Assignment]) -> Assignment | None:
    """Return the committed part whose release the node does not run any more."""
    newest = next((each for each in reversed(held) if each.status not in GONE), None)
    # While a newer release is on trial the node runs that one, and the older one has not been reverted by it.
    if newest is None or newest.status != AssignmentStatus.COMMITTED:
        return None
    return newest if running not in ("", newest.rollout.release.digest) else None


def _fall_back(assignment: Assignment, now: datetime) -> None:
    rollout = assignment.rollout
    is_wanted = rollout.status == RolloutStatus.ROLLING_BACK or not rollout.release.is_in_force
    code = ROLLED_BACK if is_wanted else RUNS_ANOTHER
    status_move(
        assignment, to=AssignmentStatus.REVERTED, actor=ACTOR, reason=code, now=now, error_code=code, ended_at=now
    )


def _may_commit(assignment: Assignment) -> bool:
    if not assignment.may_become(AssignmentStatus.COMMITTED):
        return False
    # A node that ran the release before it was offered has nothing to install and nothing to report.
    ran_it_before = assignment.status == AssignmentStatus.OFFERED and assignment.reported_at is None
    return assignment.has_reported_commit or ran_it_before


def _commit(assignment: Assignment, held: Sequence[Assignment], now: datetime) -> None:
    for older in held:
        if older.status == AssignmentStatus.COMMITTED and older.pk != assignment.pk:
            status_move(older, to=AssignmentStatus.SUPERSEDED, actor=ACTOR, now=now, ended_at=now)
    status_move(assignment, to=AssignmentStatus.COMMITTED, actor=ACTOR, now=now, ended_at=now)
