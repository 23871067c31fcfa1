"""Documents by which a school's PC becomes a node and opens sessions (protocol §2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What the school's PC can carry."""

    cores: int
    memory_bytes: int
    disk_free_bytes: int
    machine: str
    gpu_memory_bytes: int
    """Of a GPU that the engine can use; 0 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentRequest:
    """A node's claim on a school; travels in an envelope signed by the key that it names."""

    code: str
    root_sha256: str
    """Of the TUF root, as it is printed with the code: the one that the answer must hold."""
    public_key: str
    """The node's EC P-384 public key, PEM SubjectPublicKeyInfo."""
    hostname: str
    hardware: Hardware


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Where a node finds the centre's SuperLink, and the certificate that it must trust there."""

    address: str
    ca_certificate: str
    """PEM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentAnswer:
    """What a node keeps for life: its name, its school's, and the root of trust."""

    node_id: str
    school: str
    root_metadata: bytes
    """The TUF root that the request names, byte for byte, and that the sheet has; in a letter the newest."""
    fleet: Fleet | None
    server_time: datetime
    status: str
    """`active`, or `claimed` while a person at the ministry has yet to approve it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTime:
    """The centre's clock, unsigned: enough to tell a person that the PC's is wrong."""

    server_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who vouches for the centre's web server; its SHA-256 is printed on the sheet."""

    certificates: str
    """PEM; empty where any authority that the PC's system knows will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NonceRequest:
    """Asks for something fresh to sign."""

    node_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonce:
    """A single-use challenge; only the centre's clock counts."""

    nonce: str
    server_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """The answered challenge; travels in an envelope signed by the node's key."""

    node_id: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A short-lived opaque bearer token for the node's further requests."""

    token: str
    expires_in_seconds: int
    server_time: datetime
    time_signature: bytes
    """The director's, over the SignedTime that node and centre both know: only the signature travels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTime:
    """The centre's clock as an answer to one challenge, so that it can be neither forged nor replayed."""

    node_id: str
    nonce: str
    server_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotation:
    """A node's wish to be known by another key; travels in an envelope signed by the old key and by the new one."""

    node_id: str
    public_key: str
    """The new EC P-384 public key, PEM SubjectPublicKeyInfo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotated:
    """The centre knows the node by this key from now on."""

    node_id: str
    key_id: str
    """SHA-256 of its DER SubjectPublicKeyInfo in hexadecimal."""
