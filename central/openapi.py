"""Describes the nodes' API as an OpenAPI 3.1 document, made from the dataclasses that the doors read and answer with.

A door that is not in `DOORS` does not pass the tests, so the description cannot fall behind. What a signed request
holds stands beside its envelope as `x-payload`: OpenAPI has no word for a document inside a signature.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from central.training.api import LeaseRequest
from federation.trust.envelopes import ENROLMENT, KEY_ROTATION, PARCELS, SESSION, payload_type
from federation.wire.canonical import LARGEST_INTEGER
from federation.wire.enrolment import (
    Authority,
    EnrolmentAnswer,
    EnrolmentRequest,
    KeyRotated,
    KeyRotation,
    Nonce,
    NonceRequest,
    ServerTime,
    Session,
    SessionRequest,
)
from federation.wire.feedback import BatchReceipt, ParcelBatch
from federation.wire.releases import CheckIn, CheckInAnswer
from federation.wire.rounds import Lease, Upload

VERSION = "1"
SHA256_PATTERN = "^[0-9a-f]{64}$"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request was not answered; programs read the code, people the message."""

    code: str
    fields: Mapping[str, str]
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What whoever restarts the centre reads."""

    alive: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What whoever watches the centre reads: `ok`, or the code of what is wrong, and then the status is 503."""

    database: str
    migrations: str
    broker: str
    storage: str
    metadata: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One thing that may be asked of the centre."""

    method: str
    path: str
    summary: str
    answer: type | None
    """None: bytes, which are described by `media`."""
    status: int = 200
    body: type | None = None
    kind: str = ""
    """Of the envelope that holds the body; empty where the body travels as it is."""
    is_open: bool = False
    """No session is needed."""
    media: str = "application/json"
    piece: bool = False
    """The body is bytes, and Content-Range says where they belong."""


DOORS: tuple[Door, ...] = (
    Door(method="get", path="/healthz", summary="Does the centre answer?", answer=Health, is_open=True),
    Door(method="get", path="/readyz", summary="Can the centre do its work?", answer=Readiness, is_open=True),
    Door(method="get", path="/api/v1/time", summary="The centre's clock", answer=ServerTime, is_open=True),
    Door(method="get", path="/api/v1/authority", summary="Who vouches for this server", answer=Authority, is_open=True),
    Door(method="get", path="/api/v1/openapi.json", summary="This document", answer=None, is_open=True),
    Door(
        method="post", path="/api/v1/enrolments", summary="Become a node by a claim code", answer=EnrolmentAnswer,
        status=201, body=EnrolmentRequest, kind=ENROLMENT, is_open=True,
    ),
    Door(
        method="post", path="/api/v1/keys", summary="Be known by another key", answer=KeyRotated,
        body=KeyRotation, kind=KEY_ROTATION, is_open=True,
    ),
    Door(
        method="post", path="/api/v1/nonces", summary="Ask for something fresh to sign", answer=Nonce,
        body=NonceRequest, is_open=True,
    ),
    Door(
        method="post", path="/api/v1/sessions", summary="Open a session", answer=Session, status=201,
        body=SessionRequest, kind=SESSION, is_open=True,
    ),
    Door(
        method="post", path="/api/v1/check-ins", summary="Say all and hear all", answer=CheckInAnswer, body=CheckIn
    ),
    Door(
        method="post", path="/api/v1/parcels", summary="Hand in what teachers said", answer=BatchReceipt,
        body=ParcelBatch, kind=PARCELS,
    ),
    Door(
        method="post", path="/api/v1/leases", summary="Ask to connect to the SuperLink", answer=Lease,
        body=LeaseRequest,
    ),
    Door(
        method="get", path="/api/v1/updates/{sha256}", summary="How far an upload has come", answer=Upload
    ),
    Door(
        method="put", path="/api/v1/updates/{sha256}", summary="Send a piece of an update", answer=Upload,
        piece=True,
    ),
    Door(
        method="get", path="/tuf/metadata/{name}", summary="A file of TUF metadata", answer=None, is_open=True
    ),
    Door(method="get", path="/tuf/targets/{path}", summary="A TUF target", answer=None, is_open=True),
    Door(
        method="get", path="/blobs/{sha256}", summary="A release's file, or a range of it", answer=None,
        media="application/octet-stream",
    ),
)  # fmt: skip

_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "name": {"type": "string", "pattern": r"^([0-9]{1,9}\.)?(root|targets|snapshot|timestamp)\.json$"},
    "path": {"type": "string", "pattern": r"^(releases|verdicts)/[0-9a-f]{64}\.[0-9a-f]{64}\.json$"},
    "sha256": {"type": "string", "pattern": SHA256_PATTERN},
}


class OpenApiView(APIView):
    """GET /api/v1/openapi.json."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        """Describe the API."""
        return Response(openapi_document())


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI description of all doors."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for door in DOORS:
        paths.setdefault(door.path, {})[door.method] = _operation(door, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Soro: the centre",
            "version": VERSION,
            "description": "What schools' PCs and the centre say to each other; docs/protocol.md gives the rules.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"session": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(door: Door, schemas: dict[str, Any]) -> dict[str, Any]:
    refusal = {"description": "Refused", "content": _content(_schema(Refusal, schemas))}
    answer = {"type": "string"} if door.answer is None else _schema(door.answer, schemas)
    if door.answer is None and door.media == "application/json":
        answer = {"type": "object"}
    operation: dict[str, Any] = {
        "summary": door.summary,
        "responses": {
            str(door.status): {"description": "Answered", "content": _content(answer, door.media)},
            "default": refusal,
        },
        "security": [] if door.is_open else [{"session": []}],
    }
    if parameters := [name for name in _PARAMETERS if f"{{{name}}}" in door.path]:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": _PARAMETERS[name]} for name in parameters
        ]
    if not door.is_open:
        operation["responses"]["401"] = refusal
    if door.media == "application/octet-stream":
        operation["parameters"].append({"name": "Range", "in": "header", "schema": {"type": "string"}})
        operation["responses"]["206"] = operation["responses"]["200"]
        operation["responses"]["304"] = {"description": "The asker has it already"}
        operation["responses"]["416"] = {"description": "The range begins behind the last byte"}
    if door.piece:
        header = {"name": "Content-Range", "in": "header", "required": True, "schema": {"type": "string"}}
        operation["parameters"].append(header)
        operation["requestBody"] = {
            "required": True,
            "content": _content({"type": "string", "format": "binary"}, "application/octet-stream"),
        }
    if door.body is not None:
        body = _schema(door.body, schemas)
        operation["requestBody"] = {
            "required": True,
            "content": _content(_envelope(door.kind, body) if door.kind else body),
        }
    return operation


def _content(schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {media: {"schema": schema}}


def _envelope(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Describe a DSSE envelope of one kind."""
    signature = {
        "type": "object",
        "required": ["keyid", "sig"],
        "properties": {"keyid": {"type": "string"}, "sig": {"type": "string", "format": "byte"}},
    }
    return {
        "type": "object",
        "required": ["payloadType", "payload", "signatures"],
        "properties": {
            "payloadType": {"const": payload_type(kind)},
            "payload": {"type": "string", "format": "byte"},
            "signatures": {"type": "array", "items": signature},
        },
        "x-payload": payload,
    }


def _schema(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - a type expression
    """Return the schema of a type that a document may hold, as `federation.wire.canonical` reads and writes it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (present,) = (each for each in arguments if each is not types.NoneType)
        return {"anyOf": [_schema(present, schemas), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], schemas)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], schemas)}
    if dataclasses.is_dataclass(kind):
        return _reference(kind, schemas)
    return _scalar(kind)


def _reference(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    name = kind.__name__
    if name not in schemas:
        schemas[name] = {}
        hints = typing.get_type_hints(kind)
        fields = dataclasses.fields(kind)
        schemas[name] = {
            "type": "object",
            "description": (kind.__doc__ or "").strip(),
            "required": [
                field.name
                for field in fields
                if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            ],
            "properties": {field.name: _schema(hints[field.name], schemas) for field in fields},
        }
    return {"$ref": f"#/components/schemas/{name}"}


def _scalar(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a type expression
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"type": "string", "enum": [each.value for each in kind]}
    scalars: dict[object, dict[str, Any]] = {
        str: {"type": "string"},
        int: {"type": "integer", "minimum": -LARGEST_INTEGER, "maximum": LARGEST_INTEGER},
        float: {"type": "number"},
        bool: {"type": "boolean"},
        datetime: {"type": "string", "format": "date-time"},
        bytes: {"type": "string", "format": "byte"},
        object: {},
    }
    return scalars[kind]
