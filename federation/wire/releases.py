"""Releases: what is in one, which node should run it, and how that went (protocol §3 and §5)."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from federation.wire.canonical import LEFT_OUT
from federation.wire.enrolment import Hardware
from federation.wire.feedback import Quarantined
from federation.wire.programs import ProgramReport

CHUNK_BYTES = 256 * 1024


def chunk_starts(size_bytes: int, tensors: Sequence[int]) -> Iterator[int]:
    """Yield where each chunk of a file begins: at byte 0, at every tensor, and each CHUNK_BYTES from there on."""
    for start, end in itertools.pairwise((0, *tensors, size_bytes)):
        yield from range(start, end, CHUNK_BYTES)


class ReleaseKind(enum.Enum):
    """A base goes out once; adapters on it are small. A program is what a school's PC runs itself (protocol §9)."""

    BASE = "base"
    ADAPTER = "adapter"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a release, with the SHA-256 of the whole and of each chunk in order (see `chunk_starts`)."""

    path: str
    size_bytes: int
    sha256: str
    chunks: tuple[str, ...]
    tensors: tuple[int, ...]
    """Where the tensors in a file of weights begin, or the parts of a list of updates: ascending, all but one at its
    first byte; none in other files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSet:
    """How chunks of a release are made out of those of an older one (protocol §3.13); chunks are numbered from 0 on.

    The blob `sha256` holds the patches one after another, in the order of `chunks`.
    """

    base: str
    """Digest of the older release."""
    sha256: str
    chunks: tuple[int, ...]
    """Numbers of the chunks that are made, ascending, through all files of this index, variant after variant."""
    of: tuple[int, ...]
    """For each the number of the chunk, in the older release's index, that it is made out of."""
    sizes: tuple[int, ...]
    """For each how many bytes its patch has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One form of a base, which `federation.inference.variants` chooses, or a program for one version of Python."""

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
    """Digests of the updates in an adapter of before lists (`federation.wire.contributions`); none in newer releases.

    The field stays, as all fields do: a program of before would give an index with others than these another digest.
    """
    variants: tuple[Variant, ...] = ()
    """Of a base in several forms: the first is for every school, the others stand in the order of preference."""
    patches: tuple[PatchSet, ...] = ()
    """What spares a school that has one of these older releases most of the bytes; an offer, never needed."""


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
    # What follows has defaults, because a node keeps its newest assignment as it was signed, by an older centre too.
    is_forced: bool = False
    """The node waits for no hours, neither these nor its head's."""
    activates_at: datetime | None = None
    """Until then the node only fetches; None: at once."""
    opens_minute: int | None = None
    """The minutes of the day, by the school's own clock, between which the node changes over; None: at any hour."""
    closes_minute: int | None = None
    program: str = field(default="", metadata=LEFT_OUT)
    """Digest of the program to run, if it is newer than the node's own; empty: stay with the one that you have."""


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
    problems: tuple[str, ...]
    """Codes of what a person at the school should mend; empty where all is well."""
    assignment_sequence: int
    """Of the newest assignment that the node has; 0 before the first."""
    assignment_sha256: str
    """Of that assignment's envelope; empty before the first. What the node has is not sent again."""
    plan_id: str
    """Of the newest round plan that the node has; empty before the first."""
    updates_waiting: tuple[str, ...]
    """SHA-256 of the updates on which the node still needs the centre's word."""
    acknowledged_seq: int
    """Up to which parcel of the epoch the node knows that all are safe; 0 before the first."""
    number: int
    """Grows with each check-in of the node within its epoch, by link and by stick; tells which of two is newer."""
    heard_number: int = 0
    """The highest number of this epoch that the centre has confirmed to have heard; 0 before the first."""
    program: ProgramReport | None = field(default=None, metadata=LEFT_OUT)
    """Which program runs here and which was given up, until the centre has heard it."""


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
    """A signed envelope that holds an Assignment; None: the one that the node has still holds."""
    round_plan: bytes | None
    """A signed envelope that holds a RoundPlan; None: there is none, or the node has it."""
    acknowledged_seq: int
    """For the check-in's epoch."""
    update_receipts: tuple[UpdateReceipt, ...]
    """Of the updates that the check-in named, as far as the centre has judged them."""
    acknowledged_event: str
    """The event id of the parcel `acknowledged_seq`; empty where that is 0."""
    metadata_version: str
    """Of the newest TUF root and timestamp, such as `1.17`: who has both need not ask; a revocation raises it."""
    next_checkin_spread_seconds: int
    """The node adds a random part of this to `next_checkin_seconds`, so that schools do not come all at once."""
    quarantined: tuple[Quarantined, ...]
    """Of the numbers above the check-in's `acknowledged_seq`, in a letter of all: a receipt may have been lost."""
    heard_number: int = 0
    """Of the newest check-in that the centre has heard in this epoch; of a link's answer the one that it answers."""
    restored_number: int = 0
    """Of the check-in by which the centre learnt last that it had been restored from a backup; 0: never."""
