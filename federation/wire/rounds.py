"""Rounds: what schools are asked to learn, and what they hand in (protocol §6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question with the answer that the model should give."""

    prompt: str
    answer: str


class SchemeName(StrEnum):
    """Which factors of `W x + B C A x` schools learn, and how the centre combines them."""

    FFA_LORA = "ffa-lora"
    """A is frozen, B is learnt (Sun et al. 2024)."""
    FED_SB = "fed-sb"
    """A and B are frozen, the core C (rank, rank) between them is learnt (Singhal et al. 2025)."""
    FEDIT = "fedit"
    """A and B are learnt and averaged one by one, which is not the average of their products (Zhang et al. 2024)."""
    FLORA = "flora"
    """A and B are learnt; their products are summed and cut back to the rank (Wang et al. 2024)."""


class Precision(StrEnum):
    """How an update's numbers travel."""

    FLOAT16 = "float16"
    INT8 = "int8"
    """One float16 scale a row, then the row in int8; Gram matrices stay float16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What local training pulls at, beside the answers of corrections and anchors; 0 leaves a part out."""

    preference: float
    """Weight of the preference of a correction over the answer that it corrects (Rafailov et al. 2023)."""
    ratings: float
    """Weight of good and bad ratings that have no correction (Ethayarajh et al. 2024)."""
    beta: float
    """How firmly both hold on to the start of the training, in units of 1 / nat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """One round's terms, signed by the director: every school trains the same arrays from the same start."""

    plan_id: str
    season_id: str
    """Plans of a season share the base, the scheme and the frozen factors, so their updates add up."""
    version: int
    """How many adapters of the season stand before this plan; an update's staleness is counted in them."""
    base: str
    """Digest of the base release whose package is frozen under the adapter."""
    start: str
    """Digest of the adapter release that training starts from; empty for the base alone."""
    scheme: SchemeName
    precision: Precision
    objective: Objective
    seed: str
    """Names the frozen factors of every slot; see federation.basis."""
    rank: int
    slots: tuple[str, ...]
    learning_rate: float
    max_steps: int
    longest_step: float = 0.0
    """L2 norm of a natural step at most, which looks at all of the school's labels; 0: Adam at `learning_rate`."""
    ridge: float = 0.1
    """Added to a Gram matrix, in units of its mean eigenvalue, where a step or the fusion divides by it."""
    stop_loss: float
    """Training ends early when the mean loss of a step over the school's own examples falls to this, in nats."""
    anchors: tuple[Example, ...]
    """Replayed beside the school's own examples, so that the rest stays where it was; none beside natural steps."""
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
    scores: LocalScores | None
    """None where the school has too few labels to hold any back."""
    shapes: tuple[ArrayShape, ...]
    body_sha256: str
    made_at: datetime
    variant: str
    """Form of the base whose weights stood still under the update; empty where it has but one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalScores:
    """How the school's held-out labels fared before and after training; numbers only."""

    labels: int
    nats_before: float
    """Mean nats a token of the answers that teachers want."""
    nats_after: float
    preferred_before: float
    """Share of the corrections that the model finds likelier than the answer they correct, 0 to 1."""
    preferred_after: float


class Factor(StrEnum):
    """What an array of an update is to its slot."""

    A = "a"
    B = "b"
    CORE = "core"
    GRAM = "gram"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayShape:
    """One array (rows, columns) of the update's body, in the body's order."""

    slot: str
    factor: Factor
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to open a SuperNode until `expires_at`; the centre hands out only so many at once."""

    plan_id: str
    granted: bool
    expires_at: datetime
    retry_after_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """How far an update that is sent by HTTPS has come (protocol §6.9)."""

    sha256: str
    received_bytes: int
    """The next piece begins here; 0 before the first."""
    is_judged: bool
    """All of it has come, and the centre has given its word."""
    accepted: bool
    code: str
    """Why it was refused; empty where it was not."""
