"""The doors for leases, and for updates that do not come by Flower."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from central.disk import centre_disk
from central.http import asking_node, body_read, document_answer, document_read
from central.node_doors import NodeView
from central.training.errors import UploadPieceInvalid
from central.training.leases import lease_grant
from central.training.plans import plan_get
from central.training.uploads import Piece, piece_take_in, upload_show

_RANGE = re.compile(r"bytes ([0-9]{1,12})-([0-9]{1,12})/([0-9]{1,12})")
PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """Asks for the right to connect for the season of one plan."""

    plan_id: str


class LeasesView(NodeView):
    """POST /api/v1/leases."""

    throttle_scope = "leases"

    def post(self, request: Request) -> Response:
        """Grant a lease, or say when to ask again."""
        wanted = document_read(LeaseRequest, request)
        lease = lease_grant(
            node=asking_node(request),
            plan=plan_get(wanted.plan_id),
            cap=settings.LEASE_CAP,
            now=timezone.now(),
        )
        return document_answer(lease)


class UpdatesView(NodeView):
    """GET and PUT /api/v1/updates/<sha256>."""

    throttle_scope = "updates"

    def get(self, request: Request, sha256: str) -> Response:
        """Say how far an upload has come, or what became of it."""
        return document_answer(upload_show(node=asking_node(request), sha256=sha256, disk=centre_disk()))

    def put(self, request: Request, sha256: str) -> Response:
        """Take one piece of an update in."""
        piece = piece_read(request.headers.get("Content-Range", ""), body_read(request, limit_bytes=PIECE_BYTES))
        upload = piece_take_in(
            node=asking_node(request),
            sha256=sha256,
            piece=piece,
            max_bytes=settings.UPDATE_MAX_BYTES,
            disk=centre_disk(),
            now=timezone.now(),
        )
        return document_answer(upload)


def piece_read(content_range: str, content: bytes) -> Piece:
    """Return the piece that a request's header and body are.

    Raises:
        UploadPieceInvalid: the header is no `bytes FIRST-LAST/SIZE`, or the body has not as many bytes as it says.
    Source: RFC 9110, section 14.4.
    """
    found = _RANGE.fullmatch(content_range)
    first, last, size = map(int, found.groups()) if found else (0, -1, 0)
    if last - first + 1 != len(content):
        raise UploadPieceInvalid(size_bytes=size, max_bytes=settings.UPDATE_MAX_BYTES)
    return Piece(start=first, content=content, size_bytes=size)
