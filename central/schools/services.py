"""What happens to schools and their PCs; the only writer of schools, nodes and claim codes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from central.schools.claim_codes import LIFE_DAYS, claim_code_digest, claim_code_draw
from central.schools.errors import ClaimCodeExpired, ClaimCodeUnknown, ClaimCodeUsed, KeyTaken, NodeMismatch
from central.schools.models import ClaimCode, Node, NodeStatus, School
from central.schools.signals import node_status_changed
from central.schools.transitions import status_move
from federation.trust.keys import public_key_load, public_pem
from federation.wire.enrolment import EnrolmentRequest
from federation.wire.releases import CheckIn

NODE_ACTOR = "node"
MAX_CHECKIN_NUMBER = 2**62
MAX_PAST_EPOCHS = 100


@dataclass(frozen=True, slots=True)
class Invitation:
    """A school with a PC that is expected there; `code` is shown this once."""

    school: School
    node: Node
    code: str


def school_invite(*, name: str, region: str, actor: str, now: datetime) -> Invitation:
    """Record one more expected PC at the school called `name` (made if new) and return its claim code."""
    code = claim_code_draw()
    with transaction.atomic():
        school, _ = School.objects.get_or_create(name=name, defaults={"region": region, "created_at": now})
        node = Node.objects.create(school=school, created_at=now)
        ClaimCode.objects.create(
            node=node,
            digest=claim_code_digest(code),
            created_by=actor,
            created_at=now,
            expires_at=now + timedelta(days=LIFE_DAYS),
        )
    return Invitation(school=school, node=node, code=code)


def school_save(*, school: School, now: datetime) -> None:
    """Keep a new school, or the changed name, region and registration of a known one."""
    if school._state.adding:  # noqa: SLF001 - Django documents it
        school.created_at = now
    school.save()


def node_enrol(*, request: EnrolmentRequest, now: datetime) -> Node:
    """Return the node that now has the request's key; at a pre-registered school it is active.

    The same code with the same key gives the same node again: the answer may have been lost on the way.

    Raises:
        ClaimCodeUnknown, ClaimCodeUsed, ClaimCodeExpired, UnsuitableKey, KeyTaken: nothing is changed.
    """
    public_key = public_pem(public_key_load(request.public_key))
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
    try:
        with transaction.atomic():
            _claim(claim, public_key, request, now)
    except IntegrityError as error:
        raise KeyTaken from error
    return node


def _claim(claim: ClaimCode, public_key: str, request: EnrolmentRequest, now: datetime) -> None:
    if ClaimCode.objects.filter(pk=claim.pk, used_at=None).update(used_at=now) != 1:
        raise ClaimCodeUsed
    status_move(
        claim.node,
        to=NodeStatus.CLAIMED,
        actor=NODE_ACTOR,
        reason="claim code used",
        now=now,
        public_key=public_key,
        hostname=request.hostname[:255],
        hardware=asdict(request.hardware),
        claimed_at=now,
    )
    if claim.node.school.is_preregistered:
        node_activate(node=claim.node, actor="centre", reason="pre-registered school", now=now)


def node_activate(*, node: Node, actor: str, reason: str, now: datetime) -> None:
    """Let a claimed or suspended node sync."""
    _node_move(node, NodeStatus.ACTIVE, actor, reason, now)


def node_suspend(*, node: Node, actor: str, reason: str, now: datetime) -> None:
    """Shut the doors to a node until it is activated again; open sessions end at once."""
    _node_move(node, NodeStatus.SUSPENDED, actor, reason, now)


def node_revoke(*, node: Node, actor: str, reason: str, now: datetime) -> None:
    """Shut the doors to a node for good; its school needs a new claim code."""
    _node_move(node, NodeStatus.REVOKED, actor, reason, now)


def _node_move(node: Node, to: NodeStatus, actor: str, reason: str, now: datetime) -> None:
    with transaction.atomic():
        status_move(node, to=to, actor=actor, reason=reason, now=now)
        if to != NodeStatus.ACTIVE:
            node.session_tokens.all().delete()
        transaction.on_commit(lambda: node_status_changed.send_robust(sender=Node, node=node))


def node_fleet_record(*, node: Node, flwr_node_id: str) -> None:
    """Remember the name under which Flower's SuperLink knows the node; empty once it no longer does."""
    Node.objects.filter(pk=node.pk).update(flwr_node_id=flwr_node_id)
    node.flwr_node_id = flwr_node_id


def node_touch(*, node: Node, checkin: CheckIn, now: datetime) -> None:
    """Record what a check-in says of the node.

    Raises:
        NodeMismatch: the check-in names another node.
    """
    if checkin.node_id != str(node.id):
        raise NodeMismatch(node_id=checkin.node_id)
    node.last_contact_at = now
    _epoch_set(node, checkin.epoch[:64])
    node.checkin_number = min(max(checkin.number, 0), MAX_CHECKIN_NUMBER)
    node.running = (checkin.running or "")[:64]
    node.disk_free_bytes = checkin.disk_free_bytes
    node.outbox_depth = max(checkin.outbox_depth, 0)
    node.capabilities = sorted(checkin.capabilities)
    node.save(
        update_fields=[
            "last_contact_at",
            "epoch",
            "checkin_number",
            "past_epochs",
            "running",
            "disk_free_bytes",
            "outbox_depth",
            "capabilities",
        ]
    )


def _epoch_set(node: Node, epoch: str) -> None:
    """Remember which epochs are over, so that a check-in of one, brought by a late stick, is known to be old."""
    if epoch != node.epoch:
        past = [*node.past_epochs, node.epoch] if node.epoch else node.past_epochs
        node.past_epochs = [each for each in past if each != epoch][-MAX_PAST_EPOCHS:]
    node.epoch = epoch
