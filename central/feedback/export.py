"""Reads accepted ratings out as JSONL, a few at a time; the audit says who had which."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from central.feedback.datasets import DataSet, Judged, dataset_row
from central.feedback.models import RatingQuerySet
from central.reports import report_each
from central.schools.audit import audit_record

CHUNK = 1000
JSONL_TYPE = "application/jsonl; charset=utf-8"


def dataset_export(*, ratings: RatingQuerySet, dataset: DataSet, actor: str, now: datetime) -> Iterator[str]:
    """Return what `dataset_lines` yields for `actor`, with one audit row of how many accepted ratings it comes from."""
    count = ratings.accepted().order_by().count()
    audit_record(
        actor=actor,
        entity="feedback.rating data set",
        old="",
        new="downloaded",
        reason=f"{dataset.value}, {count}",
        now=now,
    )
    return report_each(lambda: dataset_lines(ratings=ratings, dataset=dataset))


def dataset_lines(*, ratings: RatingQuerySet, dataset: DataSet) -> Iterator[str]:
    """Yield one line of JSON for each accepted rating among `ratings` that says something there, the oldest first."""
    columns = ("question", "answer", "stars", "correction", "edited_correction")
    accepted = ratings.accepted().order_by("pk").values_list(*columns)
    for question, answer, stars, correction, edited in accepted.iterator(chunk_size=CHUNK):
        judged = Judged(question=question, answer=answer, stars=stars, correction=edited or correction)
        row = dataset_row(judged=judged, dataset=dataset)
        if row is not None:
            yield json.dumps(row, ensure_ascii=False) + "\n"
