"""Which key a node is known by: rotation by the node itself, withdrawal by the ministry, and whose signature counts.

With `services` the only writer of a node's key. Rules, in order:
1. A rotation is signed by the old key, which allows it, and by the new one, which proves that the sender has it.
2. A key that was retired never comes back, at this node or another.
3. What a retired key has signed is still taken, for it may come by a stick weeks later; not so a withdrawn key's.
"""

from __future__ import annotations

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from django.db import IntegrityError, transaction

from central.schools.audit import audit_record
from central.schools.errors import KeyTaken, StatusConflict
from central.schools.models import Node, NodeStatus, RetiredKey
from central.schools.reach import entity_of
from central.schools.sessions import active_node
from central.schools.signals import node_status_changed
from federation.trust.envelopes import KEY_ROTATION, envelope_key_ids, envelope_open, envelope_payload_unverified
from federation.trust.keys import UnsuitableKey, VerifyingKey, key_id, public_key_load, public_pem
from federation.wire.canonical import parse
from federation.wire.enrolment import KeyRotated, KeyRotation


def node_public_key(pem: str) -> ec.EllipticCurvePublicKey:
    """Return the key that `pem` spells, of the one kind that a node may have.

    Raises:
        UnsuitableKey: it is none, or no EC P-384 key.
    """
    key = public_key_load(pem)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UnsuitableKey(problem="not EC P-384")
    return key


def node_key_rotate(*, envelope: bytes, now: datetime) -> KeyRotated:
    """Return the new key by which the node is known; the same request again gives the same answer.

    Raises:
        NodeUnknown, NodeNotActive, UnsuitableKey, BadSignature, KeyTaken: the node keeps its key.
    """
    claimed = parse(KeyRotation, envelope_payload_unverified(envelope, kind=KEY_ROTATION))
    node, new = active_node(claimed.node_id), node_public_key(claimed.public_key)
    envelope_open(envelope, kind=KEY_ROTATION, key=new)
    rotated = KeyRotated(node_id=str(node.pk), key_id=key_id(new))
    old = public_key_load(node.public_key)
    if key_id(old) == rotated.key_id:
        # The answer was lost on the way.
        return rotated
    envelope_open(envelope, kind=KEY_ROTATION, key=old)
    _key_replace(node, new, now)
    return rotated


def _key_replace(node: Node, new: VerifyingKey, now: datetime) -> None:
    old_pem, new_pem = node.public_key, public_pem(new)
    key_expect_unknown(new)
    try:
        with transaction.atomic():
            key_retire(node=node, is_withdrawn=False, actor="node", reason=f"new key {key_id(new)[:12]}", now=now)
            held = Node.objects.filter(pk=node.pk, public_key=old_pem, status=NodeStatus.ACTIVE)
            if held.update(public_key=new_pem, flwr_node_id="") != 1:
                raise StatusConflict(entity=entity_of(node), old="key", new="key")
            transaction.on_commit(lambda: node_status_changed.send_robust(sender=Node, node=node))
    except IntegrityError as error:
        raise KeyTaken from error
    node.public_key, node.flwr_node_id = new_pem, ""


def key_expect_unknown(key: VerifyingKey) -> None:
    """Return if no node was ever known by `key`.

    Raises:
        KeyTaken: one was.
    """
    if RetiredKey.objects.filter(key_id=key_id(key)).exists():
        raise KeyTaken


def key_retire(*, node: Node, is_withdrawn: bool, actor: str, reason: str, now: datetime) -> None:
    """Put the node's present key among the retired ones; its open sessions end, and Flower forgets it next."""
    RetiredKey.objects.create(
        node=node,
        public_key=node.public_key,
        key_id=key_id(public_key_load(node.public_key)),
        is_withdrawn=is_withdrawn,
        flwr_node_id=node.flwr_node_id,
        retired_at=now,
    )
    node.session_tokens.all().delete()
    new = "key_withdrawn" if is_withdrawn else "key_rotated"
    audit_record(actor=actor, entity=entity_of(node), old="", new=new, reason=reason, now=now)


def envelope_from(*, node: Node, envelope: bytes, kind: str) -> bytes:
    """Return the payload that `node` itself signed, by its key or by one that it had before.

    Raises:
        BadSignature, WrongKind, MalformedDocument: it did not.
    """
    return envelope_open(envelope, kind=kind, key=signing_key(node=node, envelope=envelope))


def signing_key(*, node: Node, envelope: bytes) -> VerifyingKey:
    """Return the key of `node` by which `envelope` says that it is signed; for any other key, the present one.

    Raises:
        MalformedDocument: `envelope` is none.
    """
    present, said = public_key_load(node.public_key), envelope_key_ids(envelope)[:8]
    if key_id(present) in said:
        return present
    named = RetiredKey.objects.filter(node=node, key_id__in=said, is_withdrawn=False).first()
    return public_key_load(named.public_key) if named else present


def key_fleet_forget(*, key: RetiredKey) -> None:
    """Record that Flower no longer knows the retired key."""
    RetiredKey.objects.filter(pk=key.pk).update(flwr_node_id="")
