"""Seal documents with a signature and open them again: DSSE envelopes, and no other form of signing.

The kind of document is under the signature, so that one key serves several purposes and no signature can be carried
from one to another. Source: DSSE 1.0.2 protocol, "PAE definition" (secure-systems-lab/dsse).
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from federation.errors import TrustError
from federation.trust.keys import SigningKey, VerifyingKey, key_id
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse

ENROLMENT = "enrolment"
SESSION = "session"
KEY_ROTATION = "key-rotation"
TIME = "time"
PARCELS = "parcels"
UPDATE = "update"
ASSIGNMENT = "assignment"
ROUND_PLAN = "round-plan"
CHECK_IN = "check-in"
CENTRE_LETTER = "centre-letter"
INSTALLER = "installer"
FIRST_RELEASE = "first-release"
PACKED_TYPE = "application/vnd.soro.envelope"
"""Content-Type of a packed envelope (protocol §1.9)."""


class BadSignature(TrustError):
    """No signature in the envelope is by the key that it should be by."""

    code = "bad_signature"


class WrongKind(TrustError):
    """The envelope holds another kind of document than is expected here."""

    code = "wrong_kind"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signature:
    keyid: str
    sig: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope:
    payloadType: str  # noqa: N815 - DSSE's own spelling
    payload: str
    signatures: tuple[_Signature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    payloadType: str  # noqa: N815 - DSSE's own spelling
    signatures: tuple[_Signature, ...]


def envelope_seal(*, payload: bytes, kind: str, key: SigningKey) -> bytes:
    """Return `payload` in an envelope whose signature by `key` also covers `kind`."""
    named = payload_type(kind)
    signature = _sign(key, _pre_authentication_encoding(named, payload))
    return canonical_bytes(
        _Envelope(
            payloadType=named,
            payload=b64encode(payload).decode(),
            signatures=(_Signature(keyid=key_id(key), sig=b64encode(signature).decode()),),
        )
    )


def envelope_cosign(content: bytes, *, kind: str, key: SigningKey) -> bytes:
    """Return the envelope `content` with one more signature, by `key`.

    Raises:
        MalformedDocument: `content` is no envelope.
        WrongKind: it holds another kind of document.
    """
    envelope, payload = _read(content, kind)
    signature = _sign(key, _pre_authentication_encoding(envelope.payloadType, payload))
    own = _Signature(keyid=key_id(key), sig=b64encode(signature).decode())
    return canonical_bytes(replace(envelope, signatures=(*envelope.signatures, own)))


def envelope_open(content: bytes, *, kind: str, key: VerifyingKey) -> bytes:
    """Return the payload that `key` signed as a document of this `kind`.

    Raises:
        MalformedDocument: `content` is no envelope.
        WrongKind: it holds another kind of document.
        BadSignature: `key` did not sign it.
    """
    envelope, payload = _read(content, kind)
    message = _pre_authentication_encoding(envelope.payloadType, payload)
    expected = key_id(key)
    own = [signature for signature in envelope.signatures if signature.keyid == expected]
    if not any(_is_signed_by(key, _decode(signature.sig, "signatures"), message) for signature in own):
        raise BadSignature(kind=kind, key_id=expected)
    return payload


def envelope_payload_unverified(content: bytes, *, kind: str) -> bytes:
    """Return the payload without judging the signature: only to learn which key to open the envelope with.

    Raises:
        MalformedDocument: `content` is no envelope.
        WrongKind: it holds another kind of document.
    """
    return _read(content, kind)[1]


def envelope_key_ids(content: bytes) -> tuple[str, ...]:
    """Return the ids of the keys that the envelope says it is signed by, unverified.

    Raises:
        MalformedDocument: `content` is no envelope.
    """
    return tuple(signature.keyid for signature in parse(_Envelope, content).signatures)


def signature_make(*, payload: bytes, kind: str, key: SigningKey) -> bytes:
    """Return the signature alone of what `envelope_seal` would make, for a reader that has the payload already."""
    return _sign(key, _pre_authentication_encoding(payload_type(kind), payload))


def signature_check(signature: bytes, *, payload: bytes, kind: str, key: VerifyingKey) -> None:
    """Return if `signature` is by `key` over `payload` as a document of this `kind`.

    Raises:
        BadSignature: it is not.
    """
    if not _is_signed_by(key, signature, _pre_authentication_encoding(payload_type(kind), payload)):
        raise BadSignature(kind=kind, key_id=key_id(key))


def envelope_pack(content: bytes) -> bytes:
    """Return the envelope with its payload as it is, on a line of its own: a text in base64 hardly compresses.

    Raises:
        MalformedDocument: `content` is no envelope.
    """
    envelope = parse(_Envelope, content)
    head = canonical_bytes(_Head(payloadType=envelope.payloadType, signatures=envelope.signatures))
    return head + b"\n" + _decode(envelope.payload, "payload")


def envelope_unpack(content: bytes) -> bytes:
    """Return the envelope that `envelope_pack` was given; nothing in it is verified.

    Raises:
        MalformedDocument: `content` is no packed envelope.
    """
    line, _, payload = content.partition(b"\n")
    head = parse(_Head, line)
    return canonical_bytes(
        _Envelope(payloadType=head.payloadType, payload=b64encode(payload).decode(), signatures=head.signatures)
    )


def _read(content: bytes, kind: str) -> tuple[_Envelope, bytes]:
    envelope = parse(_Envelope, content)
    if envelope.payloadType != payload_type(kind):
        raise WrongKind(expected=kind, found=envelope.payloadType[:80])
    return envelope, _decode(envelope.payload, "payload")


def payload_type(kind: str) -> str:
    """Return the DSSE payload type of a kind of document."""
    return f"application/vnd.soro.{kind}+json"


def _pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    name = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def _decode(text: str, field: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise MalformedDocument(document="Envelope", field=field, problem="not base64") from error


def _sign(key: SigningKey, message: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, ec.ECDSA(hashes.SHA384()))


def _is_signed_by(key: VerifyingKey, signature: bytes, message: bytes) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            key.verify(signature, message, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True
