"""An update beside the others of its round: what the person who judges it looks at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from django.utils.translation import gettext

from central.training.models import Update, UpdateStatus
from central.training.words import FIGURES, REASONS

NOT_COMPARED = ("tried_on", "released_by")
"""Figures that say something of the looking, not of the update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure in words and numbers as a reader wants them; empty where there is none."""

    words: str
    own: str
    usual: str
    """The middle of the round's other updates."""


def reasons_in_words(update: Update) -> list[str]:
    """Return why the update stands apart, in the reader's words."""
    return [gettext(REASONS[reason]) for reason in update.figures.get("reasons", ()) if reason in REASONS]


def figures_beside(update: Update) -> list[Figure]:
    """Return the update's figures, each beside the middle of those that its round has looked at with it."""
    others = _others(update)
    return [
        Figure(words=gettext(words), own=_shown(update.figures[name]), usual=_usual(name, others))
        for name, words in FIGURES.items()
        if name in update.figures
    ]


def _others(update: Update) -> Sequence[Mapping[str, Any]]:
    if update.round is None:
        return ()
    looked_at = update.round.updates.filter(status__in=(UpdateStatus.ACCEPTED, UpdateStatus.QUARANTINED))
    return list(looked_at.exclude(pk=update.pk).exclude(figures={}).values_list("figures", flat=True))


def _usual(name: str, others: Sequence[Mapping[str, Any]]) -> str:
    known = [figures[name] for figures in others if figures.get(name) is not None]
    return "" if name in NOT_COMPARED or not known else _shown(float(median(known)))


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
