"""What `federation.learning.probe` is asked and what it answers; read by whoever starts it, who need not have torch."""

from __future__ import annotations

from dataclasses import dataclass

from federation.wire.rounds import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedUpdate:
    """One update, and on which corrections it is to be tried."""

    digest: str
    path: str
    """Of the file as it was received, whose arrays were judged when it was taken in."""
    places: tuple[int, ...]
    """Of its corrections among those of the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTask:
    """Corrections as a question and the answer that a teacher wants, and updates of one season."""

    corrections: tuple[Example, ...]
    updates: tuple[TriedUpdate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What an update, taken whole, gains on each of its corrections, in its order; below 0 it makes one dearer."""

    digest: str
    gains: tuple[float, ...]
    """Nats a token; 0 where no token of the answer fits into what a school learns from."""
