"""The school's rule for its link: when releases may come over it, and how fast. Pure; it binds nothing but releases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time

from node.hours import is_within


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRule:
    """None of `cap_kbit_s` is no cap; hours without both ends, or of no length, are the whole day."""

    cap_kbit_s: int | None = None
    cap_from: time | None = None
    cap_until: time | None = None
    opens_at: time | None = None
    closes_at: time | None = None

    def cap_at(self, now: time) -> int | None:
        """Return the cap in kbit/s that binds at `now`, the school's own time; None: as fast as the link is."""
        return self.cap_kbit_s if is_within(now, opens_at=self.cap_from, closes_at=self.cap_until) else None

    def is_open(self, now: time) -> bool:
        """Return whether releases may come at `now`, the school's own time; a window may lie across midnight."""
        return is_within(now, opens_at=self.opens_at, closes_at=self.closes_at)
