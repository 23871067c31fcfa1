"""Counts how far teachers agree, subject by subject: the only writer of `SubjectAgreement`."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from django.db import transaction
from django.db.models import Count

from central.feedback.agreement import ordinal_alpha
from central.feedback.models import Rating, SubjectAgreement

Stars = dict[tuple[object, str], int]


def agreement_count(*, now: datetime) -> None:
    """Leave each subject's agreement as of `now`: one rating a teacher and answer counts, the newest."""
    subjects: dict[str, dict[str, Stars]] = defaultdict(lambda: defaultdict(dict))
    rated = Rating.objects.with_words().exclude(turn_key="").order_by()
    shared = rated.values("turn_key").annotate(ratings=Count("pk")).filter(ratings__gt=1).values("turn_key")
    columns = ("subject", "turn_key", "node_id", "teacher", "stars")
    for subject, turn, node, teacher, stars in rated.filter(turn_key__in=shared).order_by("pk").values_list(*columns):
        subjects[subject][turn][node, teacher] = stars
    with transaction.atomic():
        SubjectAgreement.objects.all().delete()
        SubjectAgreement.objects.bulk_create(
            agreement for subject, turns in subjects.items() if (agreement := _agreement(subject, turns, now))
        )


def _agreement(subject: str, turns: dict[str, Stars], now: datetime) -> SubjectAgreement | None:
    units = [list(stars.values()) for stars in turns.values() if len(stars) > 1]
    if not units:
        return None
    ratings = sum(len(unit) for unit in units)
    return SubjectAgreement(
        subject=subject, alpha=ordinal_alpha(units), turns=len(units), ratings=ratings, counted_at=now
    )
