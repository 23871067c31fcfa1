"""Hours of the day that a school chooses, such as when releases may come, or when its PC may learn. Pure."""

from __future__ import annotations

from datetime import time


def is_within(now: time, *, opens_at: time | None, closes_at: time | None) -> bool:
    """Return whether `now`, the school's own time, lies in a window, which may lie across midnight.

    A window without both ends, or of no length, is always open.
    """
    if opens_at is None or closes_at is None or opens_at == closes_at:
        return True
    if opens_at < closes_at:
        return opens_at <= now < closes_at
    return now >= opens_at or now < closes_at
