"""Releases: what is in one, which node should run it, and how that went (protocol §3 and §5)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from federation.wire.enrolment import Hardware

CHUNK_BYTES = 256 * 1024


class ReleaseKind(enum.Enum):
    """A base goes out once; adapters on it are small."""

    BASE = "base"
    ADAPTER = "adapter"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a release, with the SHA-256 of the whole and of each chunk of CHUNK_BYTES (the last is shorter)."""

    path: str
    size_bytes: int
    sha256: str
    chunks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One form of a base; `federation.inference.variants` says which of them a PC gets."""

    name: str
    memory_bytes: int
    """That the PC must have; 0 where the release's smallest needs are enough."""
    gpu_memory_bytes: int
    """That its GPU must have; 0 where none is needed."""
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseIndex:
    """All that a release is; the SHA-256 of its canonical bytes is the release's digest and its name everywhere."""

    kind: ReleaseKind
    version: int
    """Grows with each release of the centre; shown to people as «release 2»."""
    title: str
    base: str | None
    """Digest of the base release that an adapter belongs to."""
    files: tuple[FileEntry, ...]
    """None where there are variants, which have their own."""
    contributions: tuple[str, ...]
    """Digests of the school updates in an adapter; a school finds its own among them."""
    variants: tuple[Variant, ...] = ()
    """Of a base in several forms: the first is for every school, the others stand in the order of preference."""


class InstallState(enum.Enum):
    """How far a node is with an assigned release; the names of the design's assignment states."""

    DOWNLOADING = "downloading"
    STAGED = "staged"
    TESTING = "testing"
    TRIAL = "trial"
    COMMITTED = "committed"
    FAILED_DOWNLOAD = "failed_download"
    FAILED_VERIFY = "failed_verify"
    REVERTED = "reverted"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The director's word on what one node should run; signed by the director key that TUF's targets name."""

    node_id: str
    sequence: int
    """Grows with each assignment of the node; a lower one than the node has seen is refused."""
    release: str | None
    """Digest of the release to run, or None: stay as you are."""
    rollout: str
    wave: int
    waiting_reason: str
    """Stable code that says why nothing newer is offered yet; empty when `release` is the newest."""
    issued_at: datetime
    variant: str
    """Of `release`, or of the base that it stands on; empty where that base has but one form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallReport:
    """Where the node stands with one assigned release."""

    release: str
    sequence: int
    """Of the assignment that asked for it."""
    state: InstallState
    error_code: str
    bytes_fetched: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckIn:
    """One request that says all a node has to say; travels with the session token."""

    node_id: str
    epoch: str
    sent_at: datetime
    running: str | None
    installs: tuple[InstallReport, ...]
    disk_free_bytes: int
    outbox_depth: int
    capabilities: tuple[str, ...]
    """`train` where the node can learn; `chat` where an engine answers."""
    hardware: Hardware
    """As measured for this check-in."""
    variants: Mapping[str, str]
    """By its digest, in which form each base of several forms lies on this disk."""
    number: int
    """Grows with each check-in of the node within its epoch, by link and by stick; tells which of two is newer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReceipt:
    """The centre's word on an update of this node: safe, or refused with a code. Only then may the node drop it."""

    plan_id: str
    update_sha256: str
    accepted: bool
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInAnswer:
    """All that the centre has to say to a node."""

    server_time: datetime
    next_checkin_seconds: int
    assignment: bytes | None
    """A signed envelope that holds an Assignment."""
    round_plan: bytes | None
    """A signed envelope that holds a RoundPlan."""
    acknowledged_seq: int
    """For the check-in's epoch."""
    update_receipts: tuple[UpdateReceipt, ...]
    acknowledged_event_id: str
    """The event of that number; a node that has another one there was restored. Empty before the first."""
