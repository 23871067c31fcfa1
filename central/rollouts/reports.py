"""Takes in how nodes get on with their assigned release, and believes above all what they say they are running.

A node counts as committed only once it says so and says that it runs the release; an update server that counted the
written image as success went on while the devices had fallen back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from central.rollouts.models import GONE, ON_THE_WAY, Assignment, AssignmentStatus, RolloutStatus
from central.schools.models import Node
from central.schools.transitions import status_move
from federation.wire.releases import InstallReport, InstallState

ACTOR = "node"
RUNS_ANOTHER = "runs_another_release"
ROLLED_BACK = "rolled_back"


def install_reports_take_in(*, node: Node, reports: Sequence[InstallReport], now: datetime) -> None:
    """Move the node's assignments as `reports` and `node.running` say; an old or impossible report changes nothing."""
    with transaction.atomic():
        for report in reports:
            assignment = _assignment_of(node, report)
            if assignment is not None:
                _report_apply(assignment, report, now)
        _running_believe(node, now)


def _assignment_of(node: Node, report: InstallReport) -> Assignment | None:
    return (
        node.assignments.select_for_update(of=("self",))
        .select_related("rollout__release")
        .filter(rollout__release__digest=report.release, sequence__lte=report.sequence)
        .order_by("-rollout_id")
        .first()
    )


def _report_apply(assignment: Assignment, report: InstallReport, now: datetime) -> None:
    facts = {
        "error_code": report.error_code[:64],
        "bytes_fetched": max(report.bytes_fetched, 0),
        "reported_at": now,
    }
    if report.state is InstallState.COMMITTED:
        Assignment.objects.filter(pk=assignment.pk).update(has_reported_commit=True, **facts)
        return
    to = AssignmentStatus(report.state.value)
    if not assignment.may_become(to):
        if assignment.status == to:
            Assignment.objects.filter(pk=assignment.pk).update(**facts)
        return
    if to not in ON_THE_WAY:
        facts["ended_at"] = now
    status_move(assignment, to=to, actor=ACTOR, reason=report.error_code[:64], now=now, **facts)


def _running_believe(node: Node, now: datetime) -> None:
    for assignment in node.assignments.exclude(sequence=None).select_related("rollout__release"):
        if node.running == assignment.rollout.release.digest and _may_commit(assignment):
            _commit(assignment, now)
    newest = (
        node.assignments.exclude(status__in=GONE).select_related("rollout__release").order_by("-rollout_id").first()
    )
    # While a newer release is on trial the node runs that one, and the older one has not been reverted by it.
    if newest is None or newest.status != AssignmentStatus.COMMITTED:
        return
    if node.running not in ("", newest.rollout.release.digest):
        _fall_back(newest, now)


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


def _commit(assignment: Assignment, now: datetime) -> None:
    for older in assignment.node.assignments.committed().exclude(pk=assignment.pk):
        status_move(older, to=AssignmentStatus.SUPERSEDED, actor=ACTOR, now=now, ended_at=now)
    status_move(assignment, to=AssignmentStatus.COMMITTED, actor=ACTOR, now=now, ended_at=now)
