"""The centre's blobs as the school's rule lets them come: inside the window, at the pace of the cap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, time
from time import monotonic as time_monotonic
from time import sleep as time_sleep

from django.utils import timezone

from federation.trust.blob_sources import BlobSource
from node.sync.errors import WindowClosed
from node.sync.link_rule import LinkRule
from node.sync.token_bucket import TokenBucket

# What was asked for comes at the speed of the link, whatever is read of it: so little is asked for at a time.
CAPPED_BYTES = 64 * 1024
BITS_IN_KBIT, BITS_IN_BYTE = 1000, 8


class LinkSource:
    """Reads from `inner`; the rule is asked for anew for each range, so that a change counts at once."""

    def __init__(
        self,
        inner: BlobSource,
        *,
        rule: Callable[[], LinkRule],
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time_sleep,
        monotonic: Callable[[], float] = time_monotonic,
    ) -> None:
        """`clock` tells the time of day; `sleep` and `monotonic` pace."""
        self._inner, self._rule, self._clock, self._sleep, self._monotonic = inner, rule, clock, sleep, monotonic
        self._bucket: tuple[int, TokenBucket] | None = None

    def read_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """Yield the range.

        Raises:
            WindowClosed: it is not the time for releases, or no longer.
            BlobUnavailable, LinkLost: as the inner source.
        """
        rule = self._rule()
        cap_kbit_s = rule.cap_at(self._window_check(rule))
        for at, size in _parts(start, length, CAPPED_BYTES if cap_kbit_s else length):
            self._pace(cap_kbit_s, size)
            for piece in self._inner.read_range(sha256, at, size):
                self._window_check(rule)
                yield piece

    def _window_check(self, rule: LinkRule) -> time:
        """Return the school's own time, if releases may come at it."""
        here = timezone.localtime(self._clock()).time()
        if not rule.is_open(here):
            raise WindowClosed
        return here

    def _pace(self, cap_kbit_s: int | None, size_bytes: int) -> None:
        if not cap_kbit_s:
            return
        now = self._monotonic()
        if self._bucket is None or self._bucket[0] != cap_kbit_s:
            bytes_a_second = cap_kbit_s * BITS_IN_KBIT / BITS_IN_BYTE
            self._bucket = cap_kbit_s, TokenBucket(bytes_a_second=bytes_a_second, burst_bytes=CAPPED_BYTES, now=now)
        self._sleep(self._bucket[1].take(size_bytes, now=now))


def _parts(start: int, length: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield the range as ranges of at most `most` bytes."""
    for at in range(start, start + length, max(1, most)):
        yield at, min(most, start + length - at)
