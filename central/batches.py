"""Deletes many rows in small transactions, so that nobody waits for a long one, and a cut loses one batch of work."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

BATCH_ROWS = 1_000


def rows_delete(rows: QuerySet[Any], *, most: int, batch_rows: int = BATCH_ROWS) -> int:
    """Delete at most `most` of `rows`, which nothing else hangs on, and return how many; the rest is still there."""
    gone = 0
    while gone < most:
        keys = list(rows.order_by().values_list("pk", flat=True)[: min(batch_rows, most - gone)])
        if not keys:
            break
        gone += rows.model._default_manager.filter(pk__in=keys).delete()[0]  # noqa: SLF001 - Django documents it
    return gone
