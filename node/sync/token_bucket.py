"""A pace: so many bytes a second, and never more than a burst ahead. Pure: the caller has the clock and waits."""

from __future__ import annotations


class TokenBucket:
    """Bytes that may pass: `bytes_a_second` grow back, up to `burst_bytes`."""

    def __init__(self, *, bytes_a_second: float, burst_bytes: float, now: float) -> None:
        """Begin full at `now` (seconds on any clock that does not go back)."""
        self._bytes_a_second, self._burst_bytes = bytes_a_second, burst_bytes
        self._held, self._at = burst_bytes, now

    def take(self, size_bytes: int, *, now: float) -> float:
        """Take `size_bytes` and return how many seconds to wait until they may pass; others who take wait longer."""
        self._held = min(self._burst_bytes, self._held + (now - self._at) * self._bytes_a_second) - size_bytes
        self._at = now
        return max(0.0, -self._held / self._bytes_a_second)
