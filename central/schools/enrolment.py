"""How a request to enrol is read and answered, whether it came by link or by stick."""

from __future__ import annotations

from datetime import datetime

from central.schools.errors import SheetRootUnknown
from central.schools.fleet import fleet_of_region
from central.schools.models import Node
from central.trust_root import root_metadata_find
from federation.trust.envelopes import ENROLMENT, envelope_open, envelope_payload_unverified
from federation.trust.keys import public_key_load
from federation.wire.canonical import parse
from federation.wire.enrolment import EnrolmentAnswer, EnrolmentRequest


def enrolment_open(envelope: bytes) -> EnrolmentRequest:
    """Return the request, signed by the very key that it names.

    Raises:
        MalformedDocument, WrongKind, UnsuitableKey, BadSignature: it is not.
    """
    claimed = parse(EnrolmentRequest, envelope_payload_unverified(envelope, kind=ENROLMENT))
    key = public_key_load(claimed.public_key)
    return parse(EnrolmentRequest, envelope_open(envelope, kind=ENROLMENT, key=key))


def sheet_root(request: EnrolmentRequest) -> bytes:
    """Return the root that the PC's sheet names: a sheet stays good when keys change after it was printed.

    Whoever starts from it follows the roots after it, each signed by the one before, as every enrolled PC does. To be
    asked before the claim code is used up.

    Raises:
        RepositoryMissing: the keys were not created yet.
        SheetRootUnknown: the sheet is of another centre, or of keys that were thrown away.
    """
    metadata = root_metadata_find(request.root_sha256)
    if metadata is None:
        raise SheetRootUnknown(root_sha256=request.root_sha256[:64])
    return metadata


def enrolment_answer(*, node: Node, root_metadata: bytes, now: datetime) -> EnrolmentAnswer:
    """Return what a PC that has claimed its school keeps for life."""
    return EnrolmentAnswer(
        node_id=str(node.id),
        school=node.school.name,
        root_metadata=root_metadata,
        fleet=fleet_of_region(node.school.region),
        server_time=now,
        status=node.status,
    )
