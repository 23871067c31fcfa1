"""Chooses on which of the centre's corrections an update is tried: some of its own PC's, and some of other schools'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models.functions import Length

from central.feedback.models import Rating
from central.training.models import Update
from federation.wire.rounds import Example

OWN = 4
OTHERS = 8
LONGEST = 4096
"""Characters. A longer question leaves no room for its answer in what a school learns from, of an answer no more is
learnt."""
_LOOKED_AT = 600
"""Rows in which schools for the others' are sought, so that one school's thousands cost no more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCorrections:
    """Corrections as a question and the answer that a teacher wants, and who is tried on which."""

    corrections: tuple[Example, ...]
    own: Mapping[int, tuple[int, ...]]
    """By update's key, their places among the corrections: the newest that its PC may have learnt from."""
    others: Mapping[int, tuple[int, ...]]
    """By update's key: one of each of some other schools, those first that a reviewer has accepted."""


def known_corrections(updates: Sequence[Update], *, made_at: Mapping[int, datetime]) -> KnownCorrections:
    """Return on what `updates` are tried. What a reviewer has rejected is left out, what one has edited is as edited.

    `made_at` says by an update's key when it was made, by the clock of its PC, as the PC's ratings do. A PC that shares
    no words has none of its own, and is tried on others' alone.
    """
    shared, corrections = _of_some_schools(), list[Example]()
    corrections += [_example(rating) for rating in shared]
    own, others = {}, {}
    for update in updates:
        school = update.node.school_id
        of_node = Rating.objects.corrections().filter(node=update.node_id, rated_at__lte=made_at[update.pk])
        begin = len(corrections)
        newest = of_node.order_by("-rated_at", "-pk")[:OWN]
        corrections += [_example(rating) for rating in newest if len(rating.question) <= LONGEST]
        own[update.pk] = tuple(range(begin, len(corrections)))
        others[update.pk] = tuple(place for place, each in enumerate(shared) if each.node.school_id != school)
    return KnownCorrections(corrections=tuple(corrections), own=own, others=others)


def _of_some_schools() -> list[Rating]:
    """Return one correction of each of as many schools as there are, up to `OTHERS`."""
    # «accepted» comes before «waiting», and `corrections` has nothing else.
    newest = Rating.objects.corrections().order_by("status", "-received_at", "-pk")
    short = newest.annotate(length=Length("question")).filter(length__lte=LONGEST)
    by_school: dict[object, int] = {}
    for pk, school in short.values_list("pk", "node__school")[:_LOOKED_AT]:
        if len(by_school) < OTHERS:
            by_school.setdefault(school, pk)
    chosen = Rating.objects.select_related("node").in_bulk(by_school.values())
    return [chosen[pk] for pk in by_school.values()]


def _example(rating: Rating) -> Example:
    return Example(prompt=rating.question, answer=rating.wording[:LONGEST])
