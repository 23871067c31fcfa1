"""Parcels: what teachers say about answers, on its way from the school's outbox to the centre (protocol §4)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


class ParcelKind(enum.Enum):
    """What a parcel's body is."""

    RATING = "rating"
    TOMBSTONE = "tombstone"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingBody:
    """One revision of one teacher's rating, with personal data already masked."""

    question: str
    answer: str
    stars: int
    """1 (useless) to 5 (excellent)."""
    correction: str
    """The teacher's better answer, or the empty string."""
    reasons: tuple[str, ...]
    subject: str
    grade: int
    """School grade 1 to 11; 0 where none was chosen."""
    release: str
    """Digest of the release that gave the answer."""
    teacher: str
    """HMAC pseudonym under a secret that never leaves the node."""
    rated_at: datetime

    def __post_init__(self) -> None:
        """Refuse numbers out of range, so that no reader has to."""
        if not 1 <= self.stars <= 5:  # noqa: PLR2004 - the scale itself
            raise ValueError("stars not within 1 to 5")
        if not 0 <= self.grade <= 11:  # noqa: PLR2004 - the grades themselves
            raise ValueError("grade not within 0 to 11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One append-only outbox event. `body` is parsed by kind; an edit is a higher revision of `record_id`."""

    seq: int
    event_id: str
    record_id: str
    revision: int
    kind: ParcelKind
    body: Mapping[str, object]
    """Plain JSON of a RatingBody, or empty for a tombstone."""


MAX_BATCH_BYTES = 1024 * 1024
"""No batch is longer, once inflated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelBatch:
    """Consecutive parcels of one node and epoch; travels in an envelope signed by the node's key."""

    node_id: str
    epoch: str
    parcels: tuple[Parcel, ...]


CLONE_SUSPECTED = "clone_suspected"
"""The code of a parcel under whose number the centre holds another event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A parcel that the centre keeps aside for a human, with the code that says why."""

    seq: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReceipt:
    """All parcels up to `acknowledged_seq` are safe at the centre."""

    node_id: str
    epoch: str
    acknowledged_seq: int
    quarantined: tuple[Quarantined, ...]
    acknowledged_event: str
    """The event id of the parcel `acknowledged_seq`; empty where that is 0."""
