"""Give this node another key: the old one signs for it, the new one proves itself, and any cut is made good.

The new key lies beside the old one until the centre has taken it; then one rename puts it in the old one's place. Where
the file `node.next.pem` is found, a rotation is under way, and asking again changes nothing at the centre.
"""

from __future__ import annotations

from pathlib import Path

from federation.trust.durable import durable_rename
from federation.trust.envelopes import KEY_ROTATION, envelope_cosign, envelope_seal
from federation.trust.keys import node_key_create, node_key_load, public_pem
from federation.wire.canonical import canonical_bytes
from federation.wire.enrolment import KeyRotation
from node.sync.client import CentreClient
from node.sync.enrol import Enrolment, key_path


def key_rotate(*, root: Path, enrolment: Enrolment, client: CentreClient) -> str:
    """Return the id of the node's new key, which is the only one that its disk still holds.

    Raises:
        TransportError: it will be handed over in the next contact.
        CentreRefused, TrustError: the node keeps its old key, and asks again in the next contact.
    """
    next_path = _next_path(root)
    new = node_key_load(next_path) if next_path.exists() else node_key_create(next_path)
    old = node_key_load(key_path(root))
    wish = canonical_bytes(KeyRotation(node_id=enrolment.node_id, public_key=public_pem(new)))
    envelope = envelope_seal(payload=wish, kind=KEY_ROTATION, key=old)
    rotated = client.key_rotate(envelope_cosign(envelope, kind=KEY_ROTATION, key=new))
    durable_rename(next_path, key_path(root))
    return rotated.key_id


def is_rotation_under_way(root: Path) -> bool:
    """Tell whether a new key waits for the centre to take it."""
    return _next_path(root).exists()


def _next_path(root: Path) -> Path:
    return root / "keys" / "node.next.pem"
