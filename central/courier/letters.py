"""What goes into the centre's letter to one PC: all that a check-in would be answered, and what only a stick brings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.conf import settings

from central.checkins.answer import checkin_answer
from central.courier.models import RefusedRequest
from central.feedback.services import cursor_of
from central.rollouts.assigning import late_node_join
from central.rollouts.director import assignment_word
from central.rollouts.shared import rollouts_look
from central.schools.authority import authority_certificates, centre_address_if_any
from central.schools.enrolment import enrolment_answer
from central.schools.errors import NodeNotActive
from central.schools.models import Node, NodeStatus
from central.training.shared import seasons_shared
from central.trust_root import root_metadata_read
from federation.trust.keys import DirectorKey, key_id, public_key_load
from federation.trust.stick_layout import letter_path
from federation.trust.stick_letters import letter_seal
from federation.wire.courier import CentreLetter
from federation.wire.releases import CheckInAnswer

REFUSED_TOLD = 1000


def letter_for(*, node: Node, key: DirectorKey, now: datetime) -> CentreLetter:
    """Return the letter to a node that has a key; one that may not sync hears that, and nothing else.

    Raises:
        AuthorityUnreadable: the settings name a file that holds no certificate for schools to pin.
    """
    is_active = node.status == NodeStatus.ACTIVE
    # Claimed since it was last heard, for the first time or in the place of another PC.
    heard_at, claimed_at = node.last_contact_at, node.claimed_at
    address = centre_address_if_any()
    is_new = heard_at is None or (claimed_at is not None and heard_at < claimed_at)
    return CentreLetter(
        reader=key_id(public_key_load(node.public_key)),
        node_id=str(node.pk),
        epoch=node.epoch,
        answer=_answer(node, key, now) if is_active else None,
        enrolment=enrolment_answer(node=node, root_metadata=root_metadata_read(), now=now)
        if is_new and node.status != NodeStatus.REVOKED
        else None,
        address=address,
        authority=authority_certificates() if address else "",
        refusal="" if is_active else NodeNotActive.code,
        written_at=now,
    )


def refusal_letters(*, key: DirectorKey, now: datetime) -> Iterator[tuple[str, bytes]]:
    """Yield path and sealed letter for each PC whose request to enrol was refused, and that has not enrolled since."""
    enrolled_since = Node.objects.exclude(public_key="").values("public_key")
    for request in RefusedRequest.objects.exclude(public_key__in=enrolled_since)[:REFUSED_TOLD]:
        letter = CentreLetter(
            reader=request.key_id,
            node_id="",
            epoch="",
            answer=None,
            enrolment=None,
            address="",
            authority="",
            refusal=request.code,
            written_at=now,
        )
        yield _sealed(letter, request.public_key, key)


def node_letter(*, node: Node, key: DirectorKey, now: datetime) -> tuple[str, bytes]:
    """Return path and sealed letter for a node that has a key."""
    return _sealed(letter_for(node=node, key=key, now=now), node.public_key, key)


def _answer(node: Node, key: DirectorKey, now: datetime) -> CheckInAnswer:
    late_node_join(node=node, look=rollouts_look(node), now=now)
    directive = assignment_word(node=node, key=key, now=now)
    return checkin_answer(
        node=node,
        assignment=bytes(directive.envelope),
        key=key,
        next_checkin_seconds=settings.NEXT_CHECKIN_SECONDS,
        now=now,
        cursor=cursor_of(node=node, epoch=node.epoch),
        seasons=seasons_shared.now(),
    )


def _sealed(letter: CentreLetter, public_key: str, key: DirectorKey) -> tuple[str, bytes]:
    return letter_path(letter.reader), letter_seal(letter, key=key, reader=public_key_load(public_key))
