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
    """The TUF root, byte for byte; the node checks it against the fingerprint printed with the claim code."""
    fleet: Fleet | None
    server_time: datetime


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
