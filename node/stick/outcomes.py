"""What came of a stick, as plain values that the page, the command and the database share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One step that failed."""

    step: str
    code: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtIn:
    """What the school has from a stick."""

    school: str = ""
    """Set where the stick made this PC the node of the school."""
    has_letter: bool = False
    """Whether the stick had a letter for this school."""
    is_older: bool = False
    """Whether this PC has seen newer metadata or a newer word: then the stick is a store of bytes, and no news."""
    address: str = ""
    """Of the centre, where this PC did not know it before."""
    refusal: str = ""
    """Why the centre refused this PC; its code."""
    ratings_safe: int = 0
    updates_settled: int = 0
    has_plan: bool = False
    release_version: int = 0
    """Of the release that the centre names for this school; 0 where it names none."""
    release_state: str = ""
    is_first_release: bool = False
    """Whether that is the one which an installation stick begins with, and no assignment."""
    waiting_reason: str = ""
    is_withdrawn: bool = False
    """Whether the centre has withdrawn what runs here, and nothing has taken its place yet."""
    failures: tuple[Failure, ...] = ()
    """What failed while the rest went on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenOut:
    """What the school has put on a stick."""

    is_enrolment: bool = False
    ratings: int = 0
    updates: int = 0
    bytes_written: int = 0
