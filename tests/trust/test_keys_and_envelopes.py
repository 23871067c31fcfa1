"""Keys and envelopes."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from federation.trust.envelopes import (
    ASSIGNMENT,
    ROUND_PLAN,
    BadSignature,
    WrongKind,
    envelope_open,
    envelope_payload_unverified,
    envelope_seal,
)
from federation.trust.keys import (
    KeyExists,
    KeyUnreadable,
    UnsuitableKey,
    director_key_create,
    director_key_load,
    key_id,
    node_key_create,
    node_key_load,
    public_key_load,
    public_pem,
)
from federation.wire.canonical import MalformedDocument


@pytest.fixture(params=[node_key_create, director_key_create])
def key(request, tmp_path):
    return request.param(tmp_path / "keys" / "key.pem")


def test_a_key_comes_back_from_the_disk_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "keys" / "node.pem"
    made = node_key_create(path)
    assert key_id(node_key_load(path)) == key_id(made) == key_id(public_key_load(public_pem(made)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["node.pem"]


def test_a_second_key_never_replaces_the_first(tmp_path):
    first = node_key_create(tmp_path / "node.pem")
    with pytest.raises(KeyExists):
        node_key_create(tmp_path / "node.pem")
    assert key_id(node_key_load(tmp_path / "node.pem")) == key_id(first)


def test_a_missing_damaged_or_foreign_private_key_is_refused(tmp_path):
    director_key_create(tmp_path / "director.pem")
    (tmp_path / "half.pem").write_text("-----BEGIN PRIVATE KEY-----\nMIG2")
    for load, name in [
        (node_key_load, "absent.pem"),
        (node_key_load, "half.pem"),
        (node_key_load, "director.pem"),
        (director_key_load, "half.pem"),
    ]:
        with pytest.raises(KeyUnreadable):
            load(tmp_path / name)


def test_a_public_key_on_another_curve_or_of_another_kind_is_refused():
    foreign = [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)]
    pems = [key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for key in foreign]
    for pem in [*pems, "", "no key"]:
        with pytest.raises(UnsuitableKey):
            public_key_load(pem)


def test_an_envelope_gives_back_the_payload_only_to_its_own_key_and_kind(key, tmp_path):
    sealed = envelope_seal(payload=b'{"a":1}', kind=ASSIGNMENT, key=key)
    assert envelope_open(sealed, kind=ASSIGNMENT, key=key.public_key()) == b'{"a":1}'
    other = node_key_create(tmp_path / "other.pem")
    with pytest.raises(BadSignature):
        envelope_open(sealed, kind=ASSIGNMENT, key=other.public_key())
    with pytest.raises(WrongKind):
        envelope_open(sealed, kind=ROUND_PLAN, key=key.public_key())
    with pytest.raises(WrongKind):
        envelope_payload_unverified(sealed, kind=ROUND_PLAN)


def test_a_signature_carried_to_another_kind_or_payload_is_refused(key):
    envelope = json.loads(envelope_seal(payload=b"{}", kind=ASSIGNMENT, key=key))
    for change in (
        {"payloadType": "application/vnd.soro.round-plan+json"},
        {"payload": base64.b64encode(b"{ }").decode()},
        {"signatures": []},
    ):
        changed = json.dumps(envelope | change).encode()
        kind = ROUND_PLAN if "payloadType" in change else ASSIGNMENT
        with pytest.raises(BadSignature):
            envelope_open(changed, kind=kind, key=key.public_key())


@given(st.binary(max_size=200))
def test_bytes_that_are_no_envelope_are_malformed(content):
    with pytest.raises(MalformedDocument):
        envelope_payload_unverified(content, kind=ASSIGNMENT)


def test_an_envelope_whose_fields_are_not_base64_is_malformed(key):
    envelope = json.loads(envelope_seal(payload=b"{}", kind=ASSIGNMENT, key=key))
    signature = envelope["signatures"][0]
    for change in ({"payload": "%%"}, {"signatures": [signature | {"sig": "%%"}]}):
        with pytest.raises(MalformedDocument):
            envelope_open(json.dumps(envelope | change).encode(), kind=ASSIGNMENT, key=key.public_key())
