"""Sessions: the centre challenges, the node's key answers, a short token stands for it; the centre's clock counts."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from central.batches import rows_delete
from central.schools.errors import KeyRetired, NodeMismatch, NodeNotActive, NodeUnknown, NonceUnknown, SessionUnknown
from central.schools.models import Node, NodeStatus, Nonce, RetiredKey, SessionToken
from federation.trust.envelopes import (
    SESSION,
    TIME,
    envelope_key_ids,
    envelope_open,
    envelope_payload_unverified,
    signature_make,
)
from federation.trust.keys import DirectorKey, public_key_load
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.enrolment import Nonce as NonceDocument
from federation.wire.enrolment import Session, SessionRequest, SignedTime

MOST_A_SWEEP = 1_000_000
NONCE_LIFE = timedelta(minutes=5)


def nonce_issue(*, node_id: str, now: datetime) -> NonceDocument:
    """Return a new challenge for an active node.

    Raises:
        NodeUnknown, NodeNotActive: there is nobody to challenge.
    """
    node = active_node(node_id)
    nonce = Nonce.objects.create(node=node, value=secrets.token_urlsafe(32), expires_at=now + NONCE_LIFE)
    return NonceDocument(nonce=nonce.value, server_time=now)


def session_open(*, envelope: bytes, key: DirectorKey, now: datetime) -> Session:
    """Return a token for the node whose key signed its answer to a challenge; the challenge is used up.

    The director's `key` signs the time of the answer, so that a PC whose clock is wrong hears it from one it trusts.

    Raises:
        NodeUnknown, NodeNotActive, KeyRetired, BadSignature, NonceUnknown: no session is opened.
    """
    claimed = parse(SessionRequest, envelope_payload_unverified(envelope, kind=SESSION))
    node = active_node(claimed.node_id)
    _key_expect_present(node, envelope)
    request = parse(SessionRequest, envelope_open(envelope, kind=SESSION, key=public_key_load(node.public_key)))
    spent, _ = Nonce.objects.filter(node=node, value=request.nonce, expires_at__gt=now).delete()
    if spent != 1:
        raise NonceUnknown
    token = secrets.token_urlsafe(32)
    seconds = int(settings.SESSION_TOKEN_SECONDS)
    SessionToken.objects.create(node=node, digest=_digest(token), expires_at=now + timedelta(seconds=seconds))
    said = SignedTime(node_id=str(node.pk), nonce=request.nonce, server_time=now)
    signature = signature_make(payload=canonical_bytes(said), kind=TIME, key=key)
    return Session(token=token, expires_in_seconds=seconds, server_time=now, time_signature=signature)


def _key_expect_present(node: Node, envelope: bytes) -> None:
    if RetiredKey.objects.filter(node=node, key_id__in=envelope_key_ids(envelope)[:8]).exists():
        raise KeyRetired


def session_node(*, token: str, now: datetime) -> Node:
    """Return the active node that the token was given to.

    Raises:
        SessionUnknown: the token is unknown or expired.
        NodeNotActive: the node was suspended or revoked since.
    """
    held = SessionToken.objects.select_related("node__school").filter(digest=_digest(token), expires_at__gt=now).first()
    if held is None:
        raise SessionUnknown
    if held.node.status != NodeStatus.ACTIVE:
        raise NodeNotActive(status=held.node.status)
    return held.node


def active_node(node_id: str) -> Node:
    """Return the active node of this id.

    Raises:
        NodeUnknown: there is none, or it has not claimed its school yet.
        NodeNotActive: it waits for approval, or was suspended or revoked.
    """
    try:
        node = Node.objects.select_related("school").filter(pk=UUID(node_id)).first()
    except ValueError:
        node = None
    if node is None or node.status == NodeStatus.INVITED:
        raise NodeUnknown
    if node.status != NodeStatus.ACTIVE:
        raise NodeNotActive(status=node.status)
    return node


def node_expect(*, node: Node, node_id: str) -> None:
    """Return if a document of `node` names `node`.

    Raises:
        NodeMismatch: it names another.
    """
    if node_id != str(node.id):
        raise NodeMismatch(node_id=node_id)


def credentials_expire(*, now: datetime) -> int:
    """Delete challenges and tokens whose life is over; return how many."""
    ended = (Nonce.objects.filter(expires_at__lte=now), SessionToken.objects.filter(expires_at__lte=now))
    return sum(rows_delete(rows, most=MOST_A_SWEEP) for rows in ended)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
