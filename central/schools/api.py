"""Doors by which a PC becomes a node and opens sessions; they need no token, for they are how one is got."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from central.http import body_read, document_answer, document_read
from central.schools.authority import authority_certificates
from central.schools.enrolment import enrolment_answer, enrolment_open, sheet_root
from central.schools.keys import node_key_rotate
from central.schools.services import node_enrol
from central.schools.sessions import nonce_issue, session_open
from central.trust_root import director_key
from federation.wire.enrolment import Authority, NonceRequest, ServerTime


class OpenView(APIView):
    """A door without a token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class TimeView(OpenView):
    """GET /api/v1/time."""

    def get(self, request: Request) -> Response:
        """Tell the centre's clock, for nodes whose own is wrong."""
        return document_answer(ServerTime(server_time=timezone.now()))


class AuthorityView(OpenView):
    """GET /api/v1/authority."""

    def get(self, request: Request) -> Response:
        """Name who vouches for this server; a PC compares it with its sheet before it believes anything else here."""
        return document_answer(Authority(certificates=authority_certificates()))


class EnrolmentView(OpenView):
    """POST /api/v1/enrolments."""

    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "enrolments"

    def post(self, request: Request) -> Response:
        """Turn a claim code and a key, signed by that key, into a node."""
        enrolment, now = enrolment_open(body_read(request)), timezone.now()
        root_metadata = sheet_root(enrolment)
        node = node_enrol(request=enrolment, now=now, waits_for_approval=settings.NODES_WAIT_FOR_APPROVAL)
        return document_answer(enrolment_answer(node=node, root_metadata=root_metadata, now=now), status=201)


class KeyView(OpenView):
    """POST /api/v1/keys."""

    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "enrolments"

    def post(self, request: Request) -> Response:
        """Know a node by another key from now on, as both its keys ask."""
        return document_answer(node_key_rotate(envelope=body_read(request), now=timezone.now()))


class NonceView(OpenView):
    """POST /api/v1/nonces."""

    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "sessions"

    def post(self, request: Request) -> Response:
        """Challenge a node."""
        wanted = document_read(NonceRequest, request)
        return document_answer(nonce_issue(node_id=wanted.node_id, now=timezone.now()))


class SessionView(OpenView):
    """POST /api/v1/sessions."""

    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "sessions"

    def post(self, request: Request) -> Response:
        """Open a session for a node that answers its challenge."""
        opened = session_open(envelope=body_read(request), key=director_key(), now=timezone.now())
        return document_answer(opened, status=201)
