"""Reads reports from the replica, where one is set and fit, and everything else from the primary.

The rules, in order:
1. Only what `report_read` and `report_each` call may be some seconds old. Whatever a service decides on, and what is
   then written, is read outside of them.
2. Even within them, writes, locks, and who somebody is and may see are the primary's (`ReportRouter`).
3. A replica that fails under a report costs the report nothing but time: it is read anew from the primary.
4. A file knows of all that was committed before it was asked for: an erasure of a second ago is no longer in it.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.models import Model

from central.database_url import REPLICA
from central.replica_rule import ReplicaState
from central.replica_watch import ReplicaWatch, replica_catch_up, replica_look

LOGGER = logging.getLogger(__name__)
CATCH_UP_LOOKS = 40
"""Two seconds: a replica that follows at all is there within some milliseconds."""
AnswerT = TypeVar("AnswerT")
_is_report: ContextVar[bool] = ContextVar("is_report", default=False)


class ReportRouter:
    """Sends the reads of a report to the replica, and nothing else."""

    of_who_somebody_is: ClassVar[frozenset[str]] = frozenset({"account", "sessiontoken", "nonce"})
    of_apps: ClassVar[frozenset[str]] = frozenset(
        {"schools", "releases", "programs", "feedback", "training", "rollouts", "courier"}
    )

    def db_for_read(self, model: type[Model], **_hints: Any) -> str:  # noqa: ANN401 - Django's signature
        """Return the replica within a report, for rows that only tell."""
        meta = model._meta  # noqa: SLF001 - Django documents it
        tells = meta.app_label in self.of_apps and meta.model_name not in self.of_who_somebody_is
        return REPLICA if tells and _is_report.get() else DEFAULT_DB_ALIAS

    def db_for_write(self, _model: type[Model], **_hints: Any) -> str:  # noqa: ANN401 - Django's signature
        """Return the primary, also for a row that a report has read."""
        return DEFAULT_DB_ALIAS

    def allow_relation(self, *_rows: Model, **_hints: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Allow it: both hold the same rows."""
        return True

    def allow_migrate(self, db: str, *_arguments: Any, **_hints: Any) -> bool:  # noqa: ANN401 - Django's signature
        """Leave the replica's tables to the primary."""
        return db != REPLICA


class Reports:
    """Reads reports, by what is known of the replica."""

    def __init__(
        self,
        *,
        state: Callable[[], ReplicaState | None],
        catch_up: Callable[[], bool],
        failed: Callable[[Exception], None],
    ) -> None:
        self._state, self._catch_up, self._failed = state, catch_up, failed

    def read(self, read: Callable[[], AnswerT]) -> AnswerT:
        """Return what `read` does; from the primary where the replica does not serve, or fails."""
        if self._state() is not ReplicaState.SERVING:
            return read()
        try:
            with report_scope():
                return read()
        except (OperationalError, InterfaceError) as error:
            self._failed(error)
        return read()

    def each(self, rows: Callable[[], Iterator[AnswerT]]) -> Iterator[AnswerT]:
        """Yield what `rows` does, with all that is committed by now; once a row is out, what fails is raised."""
        source = rows()
        if self._state() is ReplicaState.SERVING and self._catch_up():
            try:
                first = _next_of(source)
            except (OperationalError, InterfaceError) as error:
                self._failed(error)
                source = rows()
            else:
                # Not around a `yield`: whoever takes the rows would be within the report as well.
                while first:
                    yield first[0]
                    first = _next_of(source)
                return
        yield from source


def replica_state() -> ReplicaState | None:
    """Return what the replica is good for; None where the settings name none."""
    return _watch().state() if REPLICA in settings.DATABASES else None


def report_read(read: Callable[[], AnswerT]) -> AnswerT:
    """Return what `read` does, which only reads and leaves nothing to be read later; it may be called twice."""
    return _reports().read(read)


def report_each(rows: Callable[[], Iterator[AnswerT]]) -> Iterator[AnswerT]:
    """Yield what `rows` does, for a file; where the replica fails before the first of them, from the primary."""
    return _reports().each(rows)


def primary_read(read: Callable[[], AnswerT]) -> AnswerT:
    """Return what `read` does with the primary's rows, also within a report."""
    held = _is_report.set(False)
    try:
        return read()
    finally:
        _is_report.reset(held)


@contextmanager
def report_scope() -> Iterator[None]:
    """Send the reads of the block to the replica, which must be there and serve."""
    held = _is_report.set(True)
    try:
        yield
    finally:
        _is_report.reset(held)


def _next_of(source: Iterator[AnswerT]) -> tuple[AnswerT, ...]:
    with report_scope():
        return tuple(itertools.islice(source, 1))


def _failed(error: Exception) -> None:
    LOGGER.warning("a report is read anew from the primary: %s", type(error).__name__)
    connections[REPLICA].close()
    _watch().look()


@cache
def _watch() -> ReplicaWatch:
    return ReplicaWatch(replica_look, clock=time.monotonic)


@cache
def _reports() -> Reports:
    return Reports(
        state=replica_state,
        catch_up=lambda: replica_catch_up(looks=CATCH_UP_LOOKS, wait=time.sleep),
        failed=_failed,
    )
