"""Deals the trained labels out to schools, each with its own mix of subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from federation.wire.labels import LabelKind, TeacherLabel
from tests.benchmarks.labels.label_set import Label

REGIONS = ("Душанбе", "Суғд", "Хатлон", "Бадахшон")
FEWEST_CORRECTIONS = 4
GOOD_STARS, BAD_STARS = 4, 2
_TRIES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """A school with its own labels, no two of which two schools share."""

    name: str
    region: str
    labels: tuple[Label, ...]


def schools_deal(labels: Sequence[Label], *, count: int, concentration: float, seed: int) -> tuple[School, ...]:
    """Return `count` schools, each label at one: a subject's labels fall to schools by shares drawn for that subject.

    The lower the concentration, the more a school is of few subjects; it also makes some schools small and some large.
    A deal under which a school has fewer than `FEWEST_CORRECTIONS` is drawn again.

    Raises:
        ValueError: there are too few labels for so many schools.
    Source: Hsu et al. 2019, "Measuring the effects of non-identical data distribution", with shares by subject.
    """
    rng = np.random.default_rng(seed)
    for _ in range(_TRIES):
        dealt = _deal(labels, count, concentration, rng)
        if min(sum(bool(label.correction) for label in own) for own in dealt) >= FEWEST_CORRECTIONS:
            return tuple(
                School(name=f"school-{number:02d}", region=REGIONS[number % len(REGIONS)], labels=tuple(own))
                for number, own in enumerate(dealt)
            )
    raise ValueError("too few labels for so many schools")


def teacher_labels(labels: Sequence[Label], *, is_held_out: bool = False) -> list[TeacherLabel]:
    """Return `labels` as a node hands them to its trainer; what is neither corrected, good nor bad teaches nothing."""
    kinds = [(label, _kind(label)) for label in labels]
    return [
        TeacherLabel(
            kind=kind,
            prompt=label.question,
            answer=label.answer,
            correction=label.correction,
            is_held_out=is_held_out,
        )
        for label, kind in kinds
        if kind is not None
    ]


def _deal(labels: Sequence[Label], count: int, concentration: float, rng: np.random.Generator) -> list[list[Label]]:
    dealt: list[list[Label]] = [[] for _ in range(count)]
    for subject in sorted({label.subject for label in labels}):
        shares = rng.dirichlet([concentration] * count)
        own = [label for label in labels if label.subject == subject]
        for label, place in zip(own, rng.choice(count, size=len(own), p=shares), strict=True):
            dealt[place].append(label)
    return dealt


def _kind(label: Label) -> LabelKind | None:
    if label.correction:
        return LabelKind.CORRECTION
    if label.stars >= GOOD_STARS:
        return LabelKind.GOOD
    return LabelKind.BAD if label.stars <= BAD_STARS else None
