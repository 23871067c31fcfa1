"""Rounds that collect, and what privacy has cost."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Max, Q
from django.utils.translation import gettext

from central.bars import Segment, bar_segments
from central.dashboard.lists import Figure, Lists, place_of
from central.training.models import PrivacyCharge, Round, RoundStatus, Update, UpdateStatus

MOST_ROUNDS = 3
OPEN = (RoundStatus.COLLECTING, RoundStatus.AGGREGATING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundBar:
    """How full a round is."""

    words: str
    status: str
    place: str
    accepted: Figure
    wanted: int
    segment: Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """All that is drawn of learning; `epsilon` is the most that any school has spent, None where none has."""

    under_way: Figure
    rounds: list[RoundBar]
    charges: Figure
    epsilon: str


def learning_figures(lists: Lists) -> Learning:
    """Return how far rounds are, and what privacy has cost."""
    under_way = lists.rows(Round).filter(status__in=OPEN)
    accepted = Count("updates", filter=Q(updates__status=UpdateStatus.ACCEPTED))
    shown = under_way.select_related("season").annotate(accepted=accepted).order_by("-pk")[:MOST_ROUNDS]
    charges = lists.rows(PrivacyCharge).aggregate(number=Count("pk"), epsilon=Max("epsilon"))
    return Learning(
        under_way=Figure(
            words=gettext("rounds under way"),
            number=under_way.count(),
            place=place_of(Round, status__in=",".join(OPEN)),
        ),
        rounds=[_round_bar(each, each.accepted) for each in shown],
        charges=Figure(
            words=gettext("rows in the privacy ledger"), number=charges["number"], place=place_of(PrivacyCharge)
        ),
        epsilon="" if charges["epsilon"] is None else f"{charges['epsilon']:.2f}",
    )


def _round_bar(round_: Round, accepted: int) -> RoundBar:
    lookups = {"round__id__exact": round_.pk, "status__exact": UpdateStatus.ACCEPTED.value}
    return RoundBar(
        words=str(round_),
        status=round_.get_status_display(),
        place=f"{place_of(Round)}{round_.pk}/change/",
        accepted=Figure(words=gettext("updates accepted"), number=accepted, place=place_of(Update, **lookups)),
        wanted=round_.wanted,
        segment=bar_segments([min(accepted, round_.wanted)], whole=round_.wanted)[0],
    )
