"""Takes one file of a stick in, by the service that the matching door calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.conf import settings

from central.checkins.answer import checkin_record
from central.courier.models import RefusedRequest
from central.courier.newness import is_newer
from central.disk import CentreDisk
from central.feedback.clones import epochs_heard
from central.feedback.services import parcels_take_in
from central.schools.enrolment import enrolment_open, sheet_root
from central.schools.keys import envelope_from
from central.schools.models import Node
from central.schools.services import node_enrol
from central.schools.sessions import active_node, node_expect
from central.training.services import update_take_in
from federation.errors import TrustError
from federation.trust import stick_layout as layout
from federation.trust.envelopes import CHECK_IN, PARCELS, envelope_payload_unverified
from federation.trust.keys import key_id, public_key_load, public_pem
from federation.wire.canonical import parse
from federation.wire.enrolment import EnrolmentRequest
from federation.wire.feedback import ParcelBatch
from federation.wire.releases import CheckIn

REFUSED_DAYS = 60


def file_take_in(*, kind: str, content: bytes, disk: CentreDisk, now: datetime) -> None:
    """Keep what `content`, a file of this `kind`, brings; the same file again changes nothing.

    Raises:
        FederationError: as the service behind the matching door; nothing of the file is kept.
    """
    if kind == layout.UPDATE:
        update_take_in(content=content, disk=disk, now=now)
    else:
        _TAKEN[kind](content, now)


def _enrolment_take_in(envelope: bytes, now: datetime) -> None:
    request = enrolment_open(envelope)
    key = public_key_load(request.public_key)
    try:
        sheet_root(request)
        node_enrol(request=request, now=now, waits_for_approval=settings.NODES_WAIT_FOR_APPROVAL)
    except TrustError as refusal:
        # Nobody waits at a door for the answer: it goes on the next sticks. A PC that has enrolled since is not asked.
        if not Node.objects.filter(public_key=public_pem(key)).exists():
            _refusal_keep(request, refusal.code, now)
        raise
    RefusedRequest.objects.filter(key_id=key_id(key)).delete()


def refused_requests_expire(*, now: datetime) -> None:
    """Delete refusals that went on sticks for long enough."""
    RefusedRequest.objects.filter(received_at__lte=now - timedelta(days=REFUSED_DAYS)).delete()


def _refusal_keep(request: EnrolmentRequest, code: str, now: datetime) -> None:
    key = public_key_load(request.public_key)
    RefusedRequest.objects.update_or_create(
        key_id=key_id(key),
        defaults={
            "public_key": public_pem(key),
            "code": code,
            "hostname": "".join(filter(str.isprintable, request.hostname))[:255],
            "received_at": now,
        },
    )


def _checkin_take_in(envelope: bytes, now: datetime) -> None:
    claimed = parse(CheckIn, envelope_payload_unverified(envelope, kind=CHECK_IN))
    node = active_node(claimed.node_id)
    checkin = parse(CheckIn, envelope_from(node=node, envelope=envelope, kind=CHECK_IN))
    node_expect(node=node, node_id=checkin.node_id)
    if is_newer(checkin, last_epoch=node.epoch, last_number=node.checkin_number, past_epochs=epochs_heard(node=node)):
        checkin_record(node=node, checkin=checkin, now=now)


def _parcels_take_in(envelope: bytes, now: datetime) -> None:
    claimed = parse(ParcelBatch, envelope_payload_unverified(envelope, kind=PARCELS))
    node = active_node(claimed.node_id)
    batch = parse(ParcelBatch, envelope_from(node=node, envelope=envelope, kind=PARCELS))
    parcels_take_in(node=node, batch=batch, now=now)


_TAKEN: Mapping[str, Callable[[bytes, datetime], None]] = {
    layout.ENROLMENT: _enrolment_take_in,
    layout.CHECK_IN: _checkin_take_in,
    layout.PARCELS: _parcels_take_in,
}
