"""Looks at the replica every few seconds, and says in one line of the log whenever that changes what it is good for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections

from central.database_url import REPLICA
from central.replica_rule import ReplicaSigns, ReplicaState, replica_judge

LOGGER = logging.getLogger(__name__)
LOOK_SECONDS = 5.0
"""A process asks no more often, and reports may be older than the bound by this."""
CATCH_UP_SECONDS = 0.05
"""Between two looks of who waits for the replica."""
_PRIMARY_SAYS = "SELECT pg_current_wal_lsn()::text, (SELECT system_identifier FROM pg_control_system()), now()"
_REPLICA_SAYS = """
SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()) = %s,
       coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false),
       extract(epoch FROM %s - pg_last_xact_replay_timestamp())::float
"""
_WORDS = {
    ReplicaState.SERVING: "the replica answers reports",
    ReplicaState.BEHIND: "the replica is too far behind; reports come from the primary",
    ReplicaState.FOREIGN: "the replica follows this database no more, or never did; reports come from the primary",
    ReplicaState.GONE: "the replica does not answer; reports come from the primary",
}


class ReplicaWatch:
    """What one process knows of the replica; threads share it, and one of them looks while the others go on."""

    def __init__(self, look: Callable[[], ReplicaState], *, clock: Callable[[], float]) -> None:
        self._look, self._clock = look, clock
        self._lock = threading.Lock()
        self._state: ReplicaState | None = None
        self._looked_at = 0.0

    def state(self) -> ReplicaState:
        """Return what the replica is good for, as of `LOOK_SECONDS` ago at most."""
        is_due = self._state is None or self._clock() - self._looked_at >= LOOK_SECONDS
        return self.look() if is_due else self._state or ReplicaState.GONE

    def look(self) -> ReplicaState:
        """Return what the replica is good for now; while another thread finds that out, what it was before."""
        if not self._lock.acquire(blocking=False):
            return self._state or ReplicaState.GONE
        try:
            found = self._look()
            if found is not self._state:
                level = logging.INFO if found is ReplicaState.SERVING else logging.WARNING
                LOGGER.log(level, _WORDS[found])
            self._state, self._looked_at = found, self._clock()
            return found
        finally:
            self._lock.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryMark:
    """What the primary had written at a moment of its own clock, and which cluster it is."""

    written: str
    cluster: int
    at: datetime


def primary_mark() -> PrimaryMark:
    """Return how far the primary has written."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(_PRIMARY_SAYS)
        written, cluster, at = cursor.fetchone()
    return PrimaryMark(written=written, cluster=cluster, at=at)


def replica_signs(mark: PrimaryMark) -> ReplicaSigns:
    """Return what the replica says beside `mark`.

    Raises:
        django.db.Error: it does not answer; its connection is closed, so that the next look opens a new one.
    """
    try:
        with connections[REPLICA].cursor() as cursor:
            cursor.execute(_REPLICA_SAYS, (mark.cluster, mark.written, mark.at))
            is_in_recovery, is_of_this_cluster, has_replayed_all, seconds = cursor.fetchone()
    except Error:
        connections[REPLICA].close()
        raise
    return ReplicaSigns(
        is_in_recovery=is_in_recovery,
        is_of_this_cluster=is_of_this_cluster,
        has_replayed_all=has_replayed_all,
        replayed_seconds_ago=seconds,
    )


def replica_look() -> ReplicaState:
    """Return what the replica is good for, as the databases themselves say."""
    mark = primary_mark()
    try:
        return replica_judge(replica_signs(mark), most_seconds=settings.REPLICA_LAG_SECONDS)
    except Error:
        return ReplicaState.GONE


def replica_catch_up(*, looks: int, wait: Callable[[float], None]) -> bool:
    """Tell whether the replica has all that the primary has committed by now; it may take `looks` looks to get there.

    Only for one that serves.
    """
    mark = primary_mark()
    for _look in range(looks):
        try:
            if replica_signs(mark).has_replayed_all:
                return True
        except Error:
            return False
        wait(CATCH_UP_SECONDS)
    return False
