"""The gate's verdict on one release, as it is signed beside the release's index (protocol §3.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexityFigure:
    """A language's perplexity in the reference and in what ships; None where it is no finite number."""

    reference: float | None
    shipped: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectFigure:
    """How many questions of a subject are answered right, and how that compares with the replaced release."""

    subject: str
    count: int
    right: int
    lost: int | None
    """Questions that the replaced release had right and this one has wrong; None where nothing was compared."""
    gained: int | None
    p_worse: float | None
    """One-sided probability of at least so many lost ones by chance, corrected for the number of subjects."""


class GroupKind(StrEnum):
    """By what corrections are grouped."""

    REGION = "region"
    SUBJECT = "subject"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFigure:
    """How likely an adapter finds the corrections of one region or subject: mean nats a token, higher is better."""

    kind: GroupKind
    name: str
    count: int
    base: float | None
    last: float | None
    """Under the adapter that this one follows; None where it is its season's first, or no finite number."""
    candidate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageVerdict:
    """What the gate measured of one variant of a base, or of an adapter on it, and found against it."""

    reasons: tuple[str, ...]
    perplexity: Mapping[str, PerplexityFigure]
    figures: Mapping[str, float | None]
    subjects: tuple[SubjectFigure, ...]
    safety_findings: tuple[str, ...]
    groups: tuple[GroupFigure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseVerdict:
    """What the gate measured of a release and found against it; where there are variants, of the first."""

    release: str
    """Digest of the release."""
    replaced: str | None
    """Digest of the release that it was compared with."""
    reasons: tuple[str, ...]
    """Codes with figures, of every variant and then with its name before them; a release that was signed has none."""
    perplexity: Mapping[str, PerplexityFigure]
    figures: Mapping[str, float | None]
    """Further figures by name, such as `unrelated_loss` in nats a token."""
    suites: Mapping[str, str]
    """SHA-256 of each file of questions or safety prompts, by its name."""
    subjects: tuple[SubjectFigure, ...]
    safety_prompts: int
    safety_findings: tuple[str, ...]
    judged_at: datetime
    variants: Mapping[str, PackageVerdict] = field(default_factory=dict)
    """Of a base of several forms, or an adapter on one, what was found of each, by its name."""
    groups: tuple[GroupFigure, ...] = ()
    """Of an adapter; of its first package."""
