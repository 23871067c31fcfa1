"""Keeps a preview while somebody turns its pages: to draw 4,000 schools takes over a second, and a page shows a few."""

from __future__ import annotations

from datetime import datetime

from django.core.cache import cache

from central.rollouts.models import Rollout
from central.rollouts.preview import Preview, rollout_preview

KEPT_SECONDS = 600


def preview_kept(*, rollout: Rollout, is_turned: bool, now: datetime) -> Preview:
    """Return the rollout's preview: drawn anew, or the last one where a page of it `is_turned`."""
    key = f"rollout-preview-{rollout.pk}"
    kept: Preview | None = cache.get(key) if is_turned else None
    if kept is None:
        kept = rollout_preview(rollout=rollout, now=now)
        cache.set(key, kept, KEPT_SECONDS)
    return kept
