"""What travels on a USB stick beside the documents that also go by link (protocol §7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from federation.wire.enrolment import EnrolmentAnswer
from federation.wire.releases import CheckInAnswer

STICK_FORMAT = "soro-stick"
STICK_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StickMark:
    """Says that a folder is such a stick, and by which rules it is laid out."""

    format: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreLetter:
    """All that the centre has to say to one PC; signed by the director, sealed to the PC's key."""

    reader: str
    """The id of the key that it is sealed to; under the signature, so that nobody can seal it anew for another."""
    node_id: str
    """Empty where the PC's request to enrol was refused."""
    epoch: str
    """The numbering of parcels that the answer acknowledges."""
    answer: CheckInAnswer | None
    """What a check-in would have been answered; None for a PC that may not sync."""
    enrolment: EnrolmentAnswer | None
    """For a PC that the centre has not heard of since it enrolled."""
    address: str
    """Where a link finds the centre; empty where it has no address."""
    authority: str
    """PEM of the certificates to pin at that address; empty where the system's own authorities vouch for it."""
    refusal: str
    """The code for which the request to enrol was refused, or the PC may not sync; else empty."""
    written_at: datetime
