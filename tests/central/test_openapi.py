"""The API's own description is whole and true, and nothing that may be sent ends in a 500."""

import json
import types
import typing
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
import schemathesis
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver
from django.utils.timezone import now
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from central.feedback.models import ReceivedParcel
from central.openapi import DOORS, openapi_document
from central.schools.invitations import school_invite
from central.schools.models import Node
from federation.trust.envelopes import ENROLMENT, PARCELS, envelope_seal
from federation.trust.keys import public_pem
from federation.wire.canonical import canonical_bytes, to_plain
from federation.wire.enrolment import EnrolmentRequest
from federation.wire.feedback import ParcelBatch
from federation.wire.releases import CheckIn
from tests.central.school import check_in_of, rating_parcel

BOUNDED = settings(
    max_examples=40,
    deadline=None,
    derandomize=False,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    ignored_auth,
    unsupported_method,
)
NOT_FOR_NODES = ("admin/", "i18n/", "")


@pytest.fixture
def api(school):
    """The description, as the centre itself serves it; the school is one whose requests the doors know."""
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())


def _routes(patterns, prefix=""):
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if route in NOT_FOR_NODES:
            continue
        yield route


def test_every_door_of_the_centre_is_described():
    routes = {
        "/"
        + route.replace("<str:name>", "{name}")
        .replace("<path:name>", "{path}")
        .replace("^", "")
        .replace("$", "")
        .replace("(?P<sha256>[0-9a-f]{64})", "{sha256}")
        for route in _routes(get_resolver("central.urls").url_patterns)
    }
    assert routes == {door.path for door in DOORS}


def test_the_description_names_the_document_inside_each_signed_request():
    document = openapi_document()
    for door in DOORS:
        if door.kind:
            body = document["paths"][door.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            name = body["x-payload"]["$ref"].rpartition("/")[2]
            assert name == door.body.__name__
            assert set(document["components"]["schemas"][name]["properties"]) == set(door.body.__dataclass_fields__)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.path}")
def test_whatever_is_sent_is_answered_as_described(api, school, door):
    operation = api[door.path][door.method.upper()]
    headers = {"Authorization": f"Bearer {school.token}"}

    @seed(4)
    @BOUNDED
    @given(case=st.one_of(operation.as_strategy(), operation.as_strategy(GenerationMode.NEGATIVE)))
    def send(case):
        case.call_and_validate(headers=headers, checks=list(CHECKS))

    send()


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NUMBERS = st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1)
# Not the first and last day that Python knows: in UTC they would be of another year.
TIMES = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - of every zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))]),
)


def documents(kind, **known):
    """Return documents of a dataclass, every field of any value that its type allows, but for the `known` ones."""
    return st.builds(kind, **{name: st.just(value) for name, value in known.items()} | _fields(kind, set(known)))


def _fields(kind, known):
    hints = typing.get_type_hints(kind)
    return {field.name: _values(hints[field.name]) for field in fields(kind) if field.name not in known}


def _values(kind):
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return st.one_of(*(_values(each) for each in arguments))
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=4).map(tuple)
    if origin is not None:
        return st.dictionaries(st.text(), ANY_JSON, max_size=4)
    if is_dataclass(kind):
        return documents(kind)
    plain = {int: NUMBERS, datetime: TIMES, str: st.text(max_size=200), types.NoneType: st.none()}
    return plain[kind] if kind in plain else st.from_type(kind)


def answered(answer):
    assert answer.status_code < 500, answer.content
    if answer.status_code >= 400:
        assert set(answer.json()) == {"code", "fields", "message"}


def test_no_check_in_of_a_node_ends_in_a_500(school):
    @seed(4)
    @BOUNDED
    @given(document=documents(CheckIn, node_id=school.node_id))
    def send(document):
        answered(school.post("check-ins", canonical_bytes(document)))

    send()


def test_no_signed_batch_of_a_node_ends_in_a_500(school):
    @seed(4)
    @BOUNDED
    @given(batch=documents(ParcelBatch, node_id=school.node_id))
    def send(batch):
        answered(school.post("parcels", envelope_seal(payload=canonical_bytes(batch), kind=PARCELS, key=school.key)))

    send()


def test_no_claim_that_its_own_key_has_signed_ends_in_a_500(school):
    @seed(4)
    @BOUNDED
    @given(request=documents(EnrolmentRequest, public_key=public_pem(ec.generate_private_key(ec.SECP384R1()))))
    def send(request):
        code = school_invite(name="Мактаби №9", region="", actor="t", now=now()).code
        key = ec.generate_private_key(ec.SECP384R1())
        claim = replace(request, code=code, public_key=public_pem(key))
        envelope = envelope_seal(payload=canonical_bytes(claim), kind=ENROLMENT, key=key)
        answered(school.post("enrolments", envelope, signed_in=False))

    send()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"node_id": "\\ud800"}',
        b'{"node_id": "\\u0000"}',
        b'{"node_id": ' + b"9" * 5000 + b"}",
        b'{"node_id": NaN}',
        b"\xff\xfe",
        b"",
    ],
    ids=["arrays", "objects", "surrogate", "nul", "digits", "nan", "bytes", "nothing"],
)
def test_a_body_that_no_client_would_send_is_refused_by_name(school, body):
    for path in ("nonces", "check-ins", "leases", "parcels", "enrolments", "keys", "sessions"):
        answer = school.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_document"), path


@pytest.mark.parametrize(
    "change",
    [
        {"disk_free_bytes": 2**63},
        {"outbox_depth": -(2**80)},
        {"sent_at": "0001-01-01T00:00:00+14:00"},
        {"epoch": "\x00"},
        {"running": "\ud800"},
        {"installs": [{"at": "9999-12-31T23:59:59-14:00"}]},
    ],
    ids=["disk", "depth", "past", "nul", "surrogate", "future"],
)
def test_a_check_in_that_no_database_could_hold_is_refused_and_changes_nothing(school, change):
    school.check_in()
    before = Node.objects.values().get()
    report = {"release": "a", "sequence": 1, "state": "committed", "error_code": "", "bytes_fetched": 1}
    change = {"installs": [report | change["installs"][0]]} if "installs" in change else change
    answer = school.post("check-ins", json.dumps(to_plain(check_in_of(school)) | change).encode())
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_document")
    assert Node.objects.values().get() == before


@pytest.mark.parametrize("inner", ["NaN", "Infinity", "[" * 400 + "]" * 400], ids=["nan", "infinity", "deep"])
def test_a_batch_whose_bodies_are_no_json_or_endlessly_deep_is_refused_and_nothing_is_kept(school, inner):
    batch = canonical_bytes(ParcelBatch(node_id=school.node_id, epoch="e", parcels=(rating_parcel(1, body={}),)))
    content = batch.replace(b'"body":{}', b'"body":{"x":%s}' % inner.encode())
    answer = school.post("parcels", envelope_seal(payload=content, kind=PARCELS, key=school.key))
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_document")
    assert not ReceivedParcel.objects.exists()
