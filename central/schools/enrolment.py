"""How a request to enrol is read and answered, whether it came by link or by stick."""

from __future__ import annotations

from datetime import datetime

from central.schools.fleet import fleet_of_region
from central.schools.models import Node
from central.trust_root import root_metadata_read
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


def enrolment_answer(*, node: Node, now: datetime) -> EnrolmentAnswer:
    """Return what a PC that has claimed its school keeps for life.

    Raises:
        RepositoryMissing: the keys were not created yet.
    """
    return EnrolmentAnswer(
        node_id=str(node.id),
        school=node.school.name,
        root_metadata=root_metadata_read(),
        fleet=fleet_of_region(node.school.region),
        server_time=now,
        status=node.status,
    )
