"""The door for parcels."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from central.feedback.services import parcels_take_in
from central.http import IsNode, NodeAuthentication, asking_node, body_read, document_answer
from central.schools.keys import envelope_from
from federation.trust.envelopes import PARCELS
from federation.wire.canonical import parse
from federation.wire.feedback import ParcelBatch


class ParcelsView(APIView):
    """POST /api/v1/parcels."""

    authentication_classes = (NodeAuthentication,)
    permission_classes = (IsNode,)

    def post(self, request: Request) -> Response:
        """Take a signed batch in and say what is safe."""
        node = asking_node(request)
        batch = parse(ParcelBatch, envelope_from(node=node, envelope=body_read(request), kind=PARCELS))
        return document_answer(parcels_take_in(node=node, batch=batch, now=timezone.now()))
