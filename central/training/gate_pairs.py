"""Which corrections the gate measures a candidate on: what its schools learnt from, and a few of every other school."""

from __future__ import annotations

from django.db.models import QuerySet

from central.feedback.models import Rating
from central.releases.correction_figures import Pair
from central.training.models import Round

LEARNT = 64
ELSEWHERE_A_REGION = 8


def corrections_choose(round_: Round) -> list[Pair]:
    """Return the newest corrections of the schools in the round, and of each region's other schools a few.

    All schools are to run the adapter, so also those are heard that it has learnt nothing from. What a reviewer has
    rejected is left out, and what one has edited is taken as edited; waiting for review holds nothing up.
    """
    nodes = round_.updates.accepted().values("node")
    corrections = Rating.objects.corrections().select_related("node__school").order_by("-received_at", "-pk")
    learnt = _pairs(corrections.filter(node__in=nodes)[:LEARNT], is_learnt=True)
    elsewhere = corrections.exclude(node__in=nodes)
    for region in sorted(set(elsewhere.order_by().values_list("node__school__region", flat=True))):
        learnt += _pairs(elsewhere.filter(node__school__region=region)[:ELSEWHERE_A_REGION], is_learnt=False)
    return learnt


def _pairs(ratings: QuerySet[Rating], *, is_learnt: bool) -> list[Pair]:
    return [
        Pair(
            question=rating.question,
            answer=rating.wording,
            subject=rating.subject,
            region=rating.node.school.region,
            is_learnt=is_learnt,
        )
        for rating in ratings
    ]
