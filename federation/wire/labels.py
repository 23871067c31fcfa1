"""Labels: what a school's teachers said of answers, as the node hands it to its own trainer. It never leaves the PC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LabelKind(StrEnum):
    """What a teacher said."""

    CORRECTION = "correction"
    """The answer should have been another one."""
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherLabel:
    """One rated answer."""

    kind: LabelKind
    prompt: str
    answer: str
    """That the model gave; may be empty where there is a correction."""
    correction: str
    """Empty for the other kinds."""
    is_held_out: bool
    """Never learnt from: it only tells how the school's model fared. True of corrections alone."""
