"""Makes the answer to a check-in out of what each app has for the node."""

from __future__ import annotations

from datetime import datetime

from central.feedback.clones import epoch_hear
from central.feedback.services import acknowledged_of
from central.rollouts.director import assignment_for
from central.rollouts.reports import install_reports_take_in
from central.rollouts.tick import late_node_join
from central.schools.models import Node
from central.schools.services import node_touch
from central.schools.sessions import node_expect
from central.training.offers import plan_envelope_for, receipts_for
from federation.trust.keys import DirectorKey
from federation.wire.releases import CheckIn, CheckInAnswer


def checkin_take(
    *, node: Node, checkin: CheckIn, key: DirectorKey, next_checkin_seconds: int, now: datetime
) -> CheckInAnswer:
    """Record all that `checkin` says and return all that the centre has to say to `node`.

    Raises:
        NodeMismatch: the check-in names another node; nothing is recorded.
    """
    checkin_record(node=node, checkin=checkin, now=now)
    return checkin_answer(
        node=node,
        assignment=assignment_for(node=node, key=key, now=now),
        key=key,
        next_checkin_seconds=next_checkin_seconds,
        now=now,
    )


def checkin_record(*, node: Node, checkin: CheckIn, now: datetime) -> None:
    """Record all that `checkin` says.

    Raises:
        NodeMismatch: the check-in names another node; nothing is recorded.
    """
    node_expect(node=node, node_id=checkin.node_id)
    epoch_hear(node=node, epoch=checkin.epoch[:64], now=now)
    node_touch(node=node, checkin=checkin, now=now)
    install_reports_take_in(node=node, reports=checkin.installs, now=now)
    late_node_join(node=node, now=now)


def checkin_answer(
    *, node: Node, assignment: bytes, key: DirectorKey, next_checkin_seconds: int, now: datetime
) -> CheckInAnswer:
    """Return what the centre has to say to `node` after its last check-in, with the director's word `assignment`."""
    acknowledged = acknowledged_of(node=node, epoch=node.epoch)
    return CheckInAnswer(
        server_time=now,
        next_checkin_seconds=next_checkin_seconds,
        assignment=assignment,
        round_plan=plan_envelope_for(node=node, key=key, now=now),
        acknowledged_seq=acknowledged.seq,
        update_receipts=receipts_for(node=node),
        acknowledged_event_id=acknowledged.event_id,
    )
