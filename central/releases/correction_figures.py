"""What an adapter does to teachers' corrections: overall, and by region and subject, before and after.

Pure: log-probabilities in, figures out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypedDict

from federation.wire.verdicts import GroupFigure, GroupKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question with the answer that is wanted."""

    question: str
    answer: str
    subject: str = ""
    region: str = ""
    is_learnt: bool = True
    """The adapter was made from what this school learnt."""


class CorrectionFigures(TypedDict):
    """The part of an adapter's report that is about corrections."""

    corrections_gain: float | None
    corrections_count: int
    corrections_step: float | None
    groups: tuple[GroupFigure, ...]


def corrections_figures(
    pairs: Sequence[Pair], base: Sequence[float], last: Sequence[float] | None, candidate: Sequence[float]
) -> CorrectionFigures:
    """Return the figures of `pairs` out of their mean log-probability a token, in their order, under each model.

    The gains are of what the adapter learnt from, the groups of all pairs.
    """
    learnt = [place for place, pair in enumerate(pairs) if pair.is_learnt]
    step = None if last is None else _gain(learnt, last, candidate)
    return CorrectionFigures(
        corrections_gain=_gain(learnt, base, candidate),
        corrections_count=len(learnt),
        corrections_step=step,
        groups=(
            *_groups(GroupKind.REGION, [pair.region for pair in pairs], base, last, candidate),
            *_groups(GroupKind.SUBJECT, [pair.subject for pair in pairs], base, last, candidate),
        ),
    )


def _gain(places: Sequence[int], before: Sequence[float], after: Sequence[float]) -> float | None:
    return fmean(after[place] - before[place] for place in places) if places else None


def _groups(
    kind: GroupKind,
    names: Sequence[str],
    base: Sequence[float],
    last: Sequence[float] | None,
    candidate: Sequence[float],
) -> list[GroupFigure]:
    groups = []
    for name in sorted(set(names)):
        places = [place for place, each in enumerate(names) if each == name]
        groups.append(
            GroupFigure(
                kind=kind,
                name=name,
                count=len(places),
                base=_mean(places, base),
                last=None if last is None else _mean(places, last),
                candidate=_mean(places, candidate),
            )
        )
    return groups


def _mean(places: Sequence[int], values: Sequence[float]) -> float:
    return fmean(values[place] for place in places)
