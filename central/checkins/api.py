"""The door for check-ins."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from central.checkins.answer import checkin_take
from central.http import asking_node, document_answer, document_read
from central.node_doors import NodeView
from central.trust_root import director_key
from federation.wire.releases import CheckIn


class CheckInView(NodeView):
    """POST /api/v1/check-ins."""

    throttle_scope = "check-ins"

    def post(self, request: Request) -> Response:
        """Hear a node out and answer it."""
        answer = checkin_take(
            node=asking_node(request),
            checkin=document_read(CheckIn, request),
            key=director_key(),
            next_checkin_seconds=settings.NEXT_CHECKIN_SECONDS,
            now=timezone.now(),
        )
        return document_answer(answer)
