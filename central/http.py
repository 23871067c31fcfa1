"""The doors' common manners: who is asking, how a body becomes a document, how a refusal becomes an answer.

A refusal is answered as {"code", "fields", "message"}, the message in the language that the request asks for.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, JsonResponse
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from central.request_trace import trace_node
from central.schools.models import Node
from central.schools.sessions import session_node
from central.words import sentence
from federation.errors import CapacityError, FederationError, TransportError, TrustError, WireError
from federation.trust.envelopes import PACKED_TYPE, envelope_unpack
from federation.wire.canonical import MAX_DOCUMENT_BYTES, parse, to_plain
from federation.wire.compression import BodyTooLarge, body_inflate

if TYPE_CHECKING:
    # rest_framework.views reads the settings, and those name this module.
    from rest_framework.views import APIView

LOGGER = logging.getLogger(__name__)
DocumentT = TypeVar("DocumentT")

_FAMILY_STATUS: tuple[tuple[type[FederationError], int], ...] = (
    (WireError, 400),
    (TrustError, 403),
    (TransportError, 503),
    (CapacityError, 507),
)
_CODE_STATUS = {
    "session_unknown": 401,
    "claim_code_unknown": 404,
    "claim_code_used": 409,
    "claim_code_expired": 410,
    "status_conflict": 409,
    "plan_unknown": 404,
    "upload_offset_wrong": 409,
    "body_too_large": 413,
}


class NodeAuthentication(BaseAuthentication):
    """A bearer token of an open session stands for its node, which is then `request.user`."""

    def authenticate(self, request: Request) -> tuple[Node, str] | None:
        """Return the node of the request's token, or None where there is no token.

        Raises:
            SessionUnknown: the token is unknown or expired.
            NodeNotActive: the node was suspended or revoked since.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        node = session_node(token=token, now=timezone.now())
        trace_node(str(node.pk))
        return node, token

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme that the door wants."""
        return "Bearer"


class IsNode(BasePermission):
    """Lets an authenticated node in, and nobody else."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether a node is asking."""
        return isinstance(request.user, Node)


def body_read(request: Request, *, limit_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the request's body, inflated where its Content-Encoding is `deflate` or `bzip2`.

    Raises:
        BodyTooLarge: it is longer than `limit_bytes`, as it came or inflated.
        BodyDamaged: it cannot be inflated.
    """
    try:
        body = bytes(request._request.body)  # noqa: SLF001 - DRF's own way to the raw body would parse it first
    except RequestDataTooBig as error:
        raise BodyTooLarge(limit_bytes=limit_bytes) from error
    return body_inflate(body, coding=request.headers.get("Content-Encoding", ""), limit_bytes=limit_bytes)


def envelope_read(request: Request, *, limit_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the envelope that is the request's body, unpacked where its Content-Type says that it is packed.

    Raises:
        BodyTooLarge, BodyDamaged: as `body_read`.
        MalformedDocument: it is no packed envelope.
    """
    body = body_read(request, limit_bytes=limit_bytes)
    return envelope_unpack(body) if request.content_type == PACKED_TYPE else body


def document_read(kind: type[DocumentT], request: Request) -> DocumentT:
    """Return the document of type `kind` that is the request's body.

    Raises:
        MalformedDocument: the body does not spell one.
    """
    return parse(kind, body_read(request))


def document_answer(document: object, *, status: int = 200) -> Response:
    """Return an answer whose body is `document`."""
    return Response(to_plain(document), status=status)


def asking_node(request: Request) -> Node:
    """Return the node that the door let in."""
    asker: object = request.user
    if not isinstance(asker, Node):
        raise exceptions.NotAuthenticated
    return asker


def error_status(error: FederationError) -> int:
    """Return the HTTP status for `error`, by its code or else by its family."""
    if error.code in _CODE_STATUS:
        return _CODE_STATUS[error.code]
    return next((status for family, status in _FAMILY_STATUS if isinstance(error, family)), 500)


def missing(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer an address at which there is nothing, as any other refusal."""
    code = exceptions.NotFound.default_code
    return JsonResponse({"code": code, "fields": {}, "message": sentence(code, {})}, status=404)


def error_answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer to a refused request; None lets an unforeseen error through as a 500."""
    if isinstance(error, FederationError):
        fields = {name: str(value) for name, value in error.fields.items()}
        LOGGER.info("refused %s: %s", context["request"].path, error)
        return Response(
            {"code": error.code, "fields": fields, "message": sentence(error.code, error.fields)},
            status=error_status(error),
        )
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    if not isinstance(error, exceptions.APIException):
        return None
    code = {401: "session_missing", 403: "session_missing"}.get(error.status_code, str(error.default_code))
    wait = getattr(error, "wait", None)
    headers = {"Retry-After": str(math.ceil(wait))} if wait else None
    body = {"code": code, "fields": {}, "message": sentence(code, {})}
    return Response(body, status=error.status_code, headers=headers)
