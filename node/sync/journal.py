"""Write down what each step of a contact cost, whether it went well or not."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from federation.errors import FederationError
from node.sync.models import SyncLog
from node.sync.transport import CountingTransport

KEPT_DAYS = 60
_log = logging.getLogger(__name__)


class Journal:
    """The steps of one contact, each a SyncLog row."""

    def __init__(self, *, counter: CountingTransport, clock: Callable[[], datetime]) -> None:
        """Begin a contact."""
        self._counter = counter
        self._clock = clock
        self._tick = uuid.uuid4().hex
        self.failures: dict[str, FederationError] = {}
        """By step, in the order in which they failed."""

    @contextlib.contextmanager
    def step(
        self, name: str, *, may_fail: bool = False, over: type[FederationError] | None = None
    ) -> Iterator[list[str]]:
        """Log the block as one step; the caller may append words to the yielded list as its detail.

        A typed error is logged, and goes on only where the rest of the contact makes no sense without the step. One of
        the type `over` goes on as well, but is no failure of the contact: the caller does it over.
        """
        up, down, started, started_at = (
            self._counter.bytes_up,
            self._counter.bytes_down,
            time.monotonic(),
            self._clock(),
        )
        detail: list[str] = []
        code = ""
        try:
            yield detail
        except FederationError as error:
            code = error.code
            detail.append(str(error))
            if over is not None and isinstance(error, over):
                raise
            _log.warning("sync %s: %s", name, error)
            self.failures[name] = error
            if not may_fail:
                raise
        finally:
            SyncLog.objects.create(
                tick=self._tick,
                step=name,
                started_at=started_at,
                seconds=round(time.monotonic() - started, 3),
                bytes_up=self._counter.bytes_up - up,
                bytes_down=self._counter.bytes_down - down,
                error_code=code,
                detail=" ".join(detail)[:200],
            )

    def prune(self) -> None:
        """Drop rows of contacts long past."""
        SyncLog.objects.filter(started_at__lt=self._clock() - timedelta(days=KEPT_DAYS)).delete()
