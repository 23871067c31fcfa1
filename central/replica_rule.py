"""When a PostgreSQL replica may answer reports: while it follows this centre's own database, and closely enough."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ReplicaState(enum.Enum):
    """What became of the last look at the replica."""

    SERVING = "serving"
    BEHIND = "behind"
    """It has yet to replay what is older than the bound, or cannot say how old that is."""
    FOREIGN = "foreign"
    """It has been promoted, or never was this database's: what it holds goes another way."""
    GONE = "gone"
    """It does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSigns:
    """What the replica says of itself, beside what the primary had said just before."""

    is_in_recovery: bool
    is_of_this_cluster: bool
    has_replayed_all: bool
    """It holds all that the primary had written when that was asked."""
    replayed_seconds_ago: float | None
    """By the primary's clock: how old the newest commit is that it has replayed; None before the first."""


def behind_seconds(signs: ReplicaSigns) -> float | None:
    """Return how old the newest thing may be that the replica does not know; None where nobody can tell.

    On an idle primary the newest commit grows old without anything missing, so its age counts only where something is.
    """
    if signs.has_replayed_all:
        return 0.0
    return None if signs.replayed_seconds_ago is None else max(0.0, signs.replayed_seconds_ago)


def replica_judge(signs: ReplicaSigns, *, most_seconds: float) -> ReplicaState:
    """Return what the replica is good for, where reports may lack what is `most_seconds` old."""
    if not signs.is_in_recovery or not signs.is_of_this_cluster:
        return ReplicaState.FOREIGN
    behind = behind_seconds(signs)
    return ReplicaState.SERVING if behind is not None and behind <= most_seconds else ReplicaState.BEHIND
