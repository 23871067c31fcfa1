"""Makes the answer to a check-in out of what each app has for the node."""

from __future__ import annotations

from datetime import datetime

from central.feedback.clones import epoch_hear
from central.feedback.services import acknowledgement
from central.rollouts.assigning import late_node_join
from central.rollouts.director import assignment_for
from central.rollouts.reports import install_reports_take_in
from central.schools.models import Node
from central.schools.services import node_touch
from central.schools.sessions import node_expect
from central.training.offers import plan_envelope_for, receipts_for, waiting_hear
from central.trust_root import metadata_version
from federation.trust.keys import DirectorKey
from federation.wire.canonical import sha256_hex
from federation.wire.releases import CheckIn, CheckInAnswer

SPREAD_PART = 2
"""Schools come back within this part of the pause more, so that those who lost the centre together part again."""


def checkin_take(
    *, node: Node, checkin: CheckIn, key: DirectorKey, next_checkin_seconds: int, now: datetime
) -> CheckInAnswer:
    """Record all that `checkin` says and return all that the centre has to say to `node` and that it does not know.

    Raises:
        NodeMismatch: the check-in names another node; nothing is recorded.
    """
    node_expect(node=node, node_id=checkin.node_id)
    checkin_record(node=node, checkin=checkin, now=now)
    assignment = assignment_for(node=node, key=key, now=now, seen_sequence=checkin.assignment_sequence)
    return checkin_answer(
        node=node,
        assignment=None if sha256_hex(assignment) == checkin.assignment_sha256 else assignment,
        key=key,
        next_checkin_seconds=next_checkin_seconds,
        now=now,
        said=checkin,
    )


def checkin_record(*, node: Node, checkin: CheckIn, now: datetime) -> None:
    """Record all that `checkin` says, which is `node`'s: whoever has it from the wire has made sure of that."""
    epoch_hear(node=node, epoch=checkin.epoch[:64], now=now)
    node_touch(node=node, checkin=checkin, now=now)
    install_reports_take_in(node=node, reports=checkin.installs, now=now)
    waiting_hear(node=node, held_plan_id=checkin.plan_id, digests=checkin.updates_waiting, now=now)
    late_node_join(node=node, now=now)


def checkin_answer(
    *,
    node: Node,
    assignment: bytes | None,
    key: DirectorKey,
    next_checkin_seconds: int,
    now: datetime,
    said: CheckIn | None = None,
) -> CheckInAnswer:
    """Return what the centre has to say to `node`, with the director's word `assignment`.

    What `said` shows that the node has already is left out; without it, as in a letter, nothing is.
    """
    epoch, heard_seq = (said.epoch, said.acknowledged_seq) if said else (node.epoch, 0)
    safe = acknowledgement(node=node, epoch=epoch, heard_seq=heard_seq)
    return CheckInAnswer(
        server_time=now,
        next_checkin_seconds=next_checkin_seconds,
        assignment=assignment,
        round_plan=plan_envelope_for(node=node, key=key, now=now, held_plan_id=said.plan_id if said else ""),
        acknowledged_seq=safe.seq,
        update_receipts=receipts_for(node=node, digests=said.updates_waiting if said else None),
        acknowledged_event=safe.event_id,
        metadata_version=metadata_version(),
        next_checkin_spread_seconds=next_checkin_seconds // SPREAD_PART,
        quarantined=safe.quarantined,
    )
