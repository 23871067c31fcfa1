"""What happens to schools and their PCs; with `keys` and `invitations` the only writer of schools, nodes and codes."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from central.schools.audit import audit_record
from central.schools.claim_codes import claim_code_digest
from central.schools.errors import (
    ClaimCodeExpired,
    ClaimCodeUnknown,
    ClaimCodeUsed,
    KeyTaken,
    NodeWithoutKey,
)
from central.schools.keys import key_expect_unknown, key_retire, node_public_key
from central.schools.models import ClaimCode, Node, NodeStatus, School
from central.schools.reach import entity_of, region_expect, steering_expect
from central.schools.rhythm import contact_days_record
from central.schools.signals import node_status_changed
from central.schools.transitions import status_move
from federation.trust.keys import public_pem
from federation.wire.enrolment import EnrolmentRequest
from federation.wire.releases import CheckIn

LOGGER = logging.getLogger(__name__)
NODE_ACTOR = "node"
MAX_DEPTH = 2**31 - 1
MAX_PROBLEMS = 20
CHECKIN_FIELDS = (
    "last_contact_at",
    "epoch",
    "checkin_number",
    "restored_number",
    "running",
    "disk_free_bytes",
    "outbox_depth",
    "capabilities",
    "hardware",
    "variants",
    "problems",
    "clock_ahead_seconds",
    "contact_days",
)
MAX_CHECKIN_NUMBER = 2**62


def school_save(*, school: School, actor: str, now: datetime) -> None:
    """Keep a new school, or the changed name, region and registration of a known one.

    Raises:
        RoleReadsOnly, OutsideRegion: the school lies, or would lie, where `actor` has no say; nothing is changed.
    """
    is_new = school._state.adding  # noqa: SLF001 - Django documents it
    region_expect(actor=actor, region=school.region, entity=f"schools.school {school.name}")
    if is_new:
        school.created_at = now
    else:
        steering_expect(actor=actor, rows=[school])
    with transaction.atomic():
        school.save()
        audit_record(
            actor=actor, entity=entity_of(school), old="", new="added" if is_new else "changed", reason="", now=now
        )


def node_enrol(*, request: EnrolmentRequest, now: datetime, waits_for_approval: bool = False) -> Node:
    """Return the node that now has the request's key; at a pre-registered school it is active, if none `waits`.

    The same code with the same key gives the same node again: the answer may have been lost on the way.

    Raises:
        ClaimCodeUnknown, ClaimCodeUsed, ClaimCodeExpired, UnsuitableKey, KeyTaken: nothing is changed.
    """
    key = node_public_key(request.public_key)
    public_key = public_pem(key)
    claim = ClaimCode.objects.select_related("node__school").filter(digest=claim_code_digest(request.code)).first()
    if claim is None:
        raise ClaimCodeUnknown
    node = claim.node
    if claim.used_at is not None:
        if node.public_key == public_key and node.status != NodeStatus.REVOKED:
            return node
        raise ClaimCodeUsed
    if now >= claim.expires_at:
        raise ClaimCodeExpired(expired_at=claim.expires_at.isoformat())
    key_expect_unknown(key)
    is_let_in = node.school.is_preregistered and not waits_for_approval
    try:
        with transaction.atomic():
            _claim(claim, public_key, request, now, is_let_in=is_let_in)
    except IntegrityError as error:
        raise KeyTaken from error
    return node


def _claim(claim: ClaimCode, public_key: str, request: EnrolmentRequest, now: datetime, *, is_let_in: bool) -> None:
    if ClaimCode.objects.filter(pk=claim.pk, used_at=None).update(used_at=now) != 1:
        raise ClaimCodeUsed
    told: dict[str, Any] = {
        "public_key": public_key,
        "hostname": request.hostname[:255],
        "hardware": asdict(request.hardware),
        "claimed_at": now,
    }
    node = claim.node
    if node.status == NodeStatus.INVITED:
        status_move(node, to=NodeStatus.CLAIMED, actor=NODE_ACTOR, reason="claim code used", now=now, **told)
    elif Node.objects.filter(pk=node.pk, status=NodeStatus.SUSPENDED, public_key="").update(**told) != 1:
        # The code was printed for a PC that takes this node's place, and by now the node is in other hands.
        raise ClaimCodeUsed
    node.refresh_from_db()
    if is_let_in:
        node_activate(node=node, actor="centre", reason="pre-registered school", now=now)


def node_activate(*, node: Node, actor: str, reason: str, now: datetime) -> None:
    """Let a claimed or suspended node sync.

    Raises:
        NodeWithoutKey: its key was withdrawn, and no PC has used the new claim code.
    """
    if node.status == NodeStatus.SUSPENDED and not node.public_key:
        raise NodeWithoutKey
    _node_move(node, NodeStatus.ACTIVE, actor, reason, now)


def node_suspend(*, node: Node, actor: str, reason: str, now: datetime) -> None:
    """Shut the doors to a node until it is activated again; open sessions end at once."""
    _node_move(node, NodeStatus.SUSPENDED, actor, reason, now)


def node_revoke(*, node: Node, actor: str, reason: str, now: datetime) -> None:
    """Shut the doors to a node for good; its school needs a new claim code."""
    _node_move(node, NodeStatus.REVOKED, actor, reason, now)


def node_key_withdraw(*, node: Node, actor: str, reason: str, now: datetime) -> None:
    """Shut the doors to every PC that has the node's key; one PC may take its place by a new claim code.

    The claim code is `invitations.node_reinvite`'s to make.

    Raises:
        StatusMoveIllegal, StatusConflict: the node is neither active nor suspended.
        RoleReadsOnly, OutsideRegion: `actor` may not move it.
    """
    steering_expect(actor=actor, rows=[node])
    with transaction.atomic():
        if node.status != NodeStatus.SUSPENDED:
            node_suspend(node=node, actor=actor, reason=reason, now=now)
        if node.public_key:
            key_retire(node=node, is_withdrawn=True, actor=actor, reason=reason, now=now)
            Node.objects.filter(pk=node.pk).update(public_key="", flwr_node_id="")
            node.public_key = node.flwr_node_id = ""


def _node_move(node: Node, to: NodeStatus, actor: str, reason: str, now: datetime) -> None:
    with transaction.atomic():
        status_move(node, to=to, actor=actor, reason=reason, now=now)
        if to != NodeStatus.ACTIVE:
            node.session_tokens.all().delete()
        transaction.on_commit(lambda: node_status_changed.send_robust(sender=Node, node=node))


def node_fleet_record(*, node: Node, flwr_node_id: str) -> None:
    """Remember the name under which Flower's SuperLink knows the node's key; empty once it no longer does."""
    # The key may have been rotated while Flower registered the old one.
    Node.objects.filter(pk=node.pk, public_key=node.public_key).update(flwr_node_id=flwr_node_id)
    node.flwr_node_id = flwr_node_id


def node_hearing_forget(*, node: Node) -> None:
    """Forget up to which check-in the node was heard: with its next one it learns that the centre was restored."""
    Node.objects.filter(pk=node.pk).update(checkin_number=0)
    node.checkin_number = 0


def node_touch(*, node: Node, checkin: CheckIn, now: datetime) -> None:
    """Record what a check-in says of the node."""
    last = timezone.localdate(node.last_contact_at) if node.last_contact_at else None
    node.contact_days = contact_days_record(days=node.contact_days, last=last, today=timezone.localdate(now))
    node.last_contact_at = now
    node.restored_number = _restored_number(node, checkin)
    node.epoch = checkin.epoch[:64]
    node.checkin_number = _checkin_number(checkin)
    node.running = (checkin.running or "")[:64]
    node.disk_free_bytes = checkin.disk_free_bytes
    node.outbox_depth = min(max(checkin.outbox_depth, 0), MAX_DEPTH)
    node.capabilities = sorted(checkin.capabilities)
    node.hardware = asdict(checkin.hardware)
    node.variants = dict(checkin.variants)
    node.problems = sorted({code[:64] for code in checkin.problems[:MAX_PROBLEMS]})
    node.clock_ahead_seconds = round((checkin.sent_at - now).total_seconds())
    node.save(update_fields=CHECKIN_FIELDS)


def _restored_number(node: Node, checkin: CheckIn) -> int:
    """Return the number of the check-in that told last of a restore: one that says more was heard than is known here.

    Two PCs of one identity look the same; what they then offer once more is settled by receipts.
    """
    is_same_epoch = node.epoch == checkin.epoch[:64]
    known = node.checkin_number if is_same_epoch else 0
    if checkin.heard_number > known:
        LOGGER.warning("node %s was heard up to check-in %d, here up to %d", node.pk, checkin.heard_number, known)
        return _checkin_number(checkin)
    return node.restored_number if is_same_epoch else 0


def _checkin_number(checkin: CheckIn) -> int:
    return min(max(checkin.number, 0), MAX_CHECKIN_NUMBER)
