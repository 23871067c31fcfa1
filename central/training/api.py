"""The door for leases."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from central.http import asking_node, document_answer, document_read
from central.node_doors import NodeView
from central.training.leases import lease_grant
from central.training.services import round_get


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """Asks for the right to connect for one round."""

    plan_id: str


class LeasesView(NodeView):
    """POST /api/v1/leases."""

    throttle_scope = "leases"

    def post(self, request: Request) -> Response:
        """Grant a lease, or say when to ask again."""
        wanted = document_read(LeaseRequest, request)
        lease = lease_grant(
            node=asking_node(request),
            round_=round_get(wanted.plan_id),
            cap=settings.LEASE_CAP,
            now=timezone.now(),
        )
        return document_answer(lease)
