"""The door for parcels."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from central.feedback.services import parcels_take_in
from central.http import asking_node, document_answer, envelope_read
from central.node_doors import NodeView
from central.schools.keys import envelope_from
from federation.trust.envelopes import PARCELS
from federation.wire.canonical import parse
from federation.wire.feedback import MAX_BATCH_BYTES, ParcelBatch


class ParcelsView(NodeView):
    """POST /api/v1/parcels."""

    throttle_scope = "parcels"

    def post(self, request: Request) -> Response:
        """Take a signed batch in and say what is safe."""
        node = asking_node(request)
        envelope = envelope_read(request, limit_bytes=MAX_BATCH_BYTES)
        batch = parse(ParcelBatch, envelope_from(node=node, envelope=envelope, kind=PARCELS))
        return document_answer(parcels_take_in(node=node, batch=batch, now=timezone.now()))
