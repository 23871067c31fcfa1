"""Rounds: what schools are asked to learn, and what they hand in (protocol §6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question with the answer that the model should give."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """One round's terms, signed by the director: every school trains the same arrays from the same start."""

    plan_id: str
    base: str
    """Digest of the base release whose package is frozen under the adapter."""
    seed: str
    """Names the frozen A of every slot (FFA-LoRA); see federation.inference.adapter."""
    rank: int
    slots: tuple[str, ...]
    learning_rate: float
    max_steps: int
    stop_loss: float
    """Training ends early when the mean loss of a step over the school's own examples falls to this, in nats."""
    anchors: tuple[Example, ...]
    """Replayed beside the school's own examples, so that the rest stays where it was."""
    min_labels: int
    max_labels: int
    """A school's weight is capped here."""
    max_norm: float
    """L2 norm to which the centre clips an update."""
    issued_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateHeader:
    """What an update says of itself; signed by the node's key together with the digest of the arrays."""

    plan_id: str
    node_id: str
    counter: int
    """Grows with each update of the node; the centre keeps one per plan and node."""
    base: str
    rank: int
    labels: int
    steps: int
    loss_before: float
    loss_after: float
    shapes: tuple[ArrayShape, ...]
    body_sha256: str
    made_at: datetime
    variant: str
    """Form of the base whose weights stood still under the update; empty where it has but one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayShape:
    """One float16 array B of shape (rank, d_out) in the update's body, in the body's order."""

    slot: str
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to open a SuperNode until `expires_at`; the centre hands out only so many at once."""

    plan_id: str
    granted: bool
    expires_at: datetime
    retry_after_seconds: int
