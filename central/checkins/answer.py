"""Makes the answer to a check-in out of what each app has for the node."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from central.feedback.clones import epoch_hear
from central.feedback.models import OutboxCursor
from central.feedback.services import acknowledgement
from central.programs.services import program_report_take_in
from central.rollouts.assigning import late_node_join
from central.rollouts.director import assignment_for, assignment_heard
from central.rollouts.reports import install_reports_take_in
from central.rollouts.shared import Look, rollouts_look
from central.schools.models import Node
from central.schools.services import node_touch
from central.schools.sessions import node_expect
from central.training.offers import plan_envelope_for, receipts_for, waiting_hear
from central.training.shared import SharedSeasons, seasons_shared
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
    heard = checkin_record(node=node, checkin=checkin, now=now)
    assignment = assignment_for(node=node, look=heard.look, key=key, now=now, seen_sequence=checkin.assignment_sequence)
    return checkin_answer(
        node=node,
        assignment=None if sha256_hex(assignment) == checkin.assignment_sha256 else assignment,
        key=key,
        next_checkin_seconds=next_checkin_seconds,
        now=now,
        cursor=heard.cursor,
        seasons=seasons_shared.at(heard.look.number),
        said=checkin,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What is there for the node once its check-in is recorded."""

    look: Look
    """In rollouts."""
    cursor: OutboxCursor
    """How far its parcels have come."""


def checkin_record(*, node: Node, checkin: CheckIn, now: datetime) -> Heard:
    """Record all that `checkin` says, which is `node`'s: whoever has it from the wire has made sure of that."""
    look = assignment_heard(node=node, reports=checkin.installs, look=rollouts_look(node), now=now)
    cursor = epoch_hear(node=node, epoch=checkin.epoch[:64], now=now)
    node_touch(node=node, checkin=checkin, now=now)
    program_report_take_in(node=node, report=checkin.program, now=now)
    waiting_hear(node=node, held_plan_id=checkin.plan_id, digests=checkin.updates_waiting, now=now)
    look = install_reports_take_in(node=node, reports=checkin.installs, look=look, now=now)
    return Heard(look=late_node_join(node=node, look=look, now=now), cursor=cursor)


def checkin_answer(
    *,
    node: Node,
    assignment: bytes | None,
    key: DirectorKey,
    next_checkin_seconds: int,
    now: datetime,
    cursor: OutboxCursor | None,
    seasons: SharedSeasons,
    said: CheckIn | None = None,
) -> CheckInAnswer:
    """Return what the centre has to say to `node`, with the director's word `assignment` and the receipts of `cursor`.

    What `said` shows that the node has already is left out; without it, as in a letter, nothing is.
    """
    safe = acknowledgement(cursor=cursor, heard_seq=said.acknowledged_seq if said else 0)
    return CheckInAnswer(
        server_time=now,
        next_checkin_seconds=next_checkin_seconds,
        assignment=assignment,
        round_plan=plan_envelope_for(
            node=node, key=key, now=now, held_plan_id=said.plan_id if said else "", shared=seasons
        ),
        acknowledged_seq=safe.seq,
        update_receipts=receipts_for(node=node, digests=said.updates_waiting if said else None),
        acknowledged_event=safe.event_id,
        metadata_version=metadata_version(),
        next_checkin_spread_seconds=next_checkin_seconds // SPREAD_PART,
        quarantined=safe.quarantined,
        heard_number=node.checkin_number,
        restored_number=node.restored_number,
    )
