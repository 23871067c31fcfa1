"""When a round's buffer is combined: enough updates or the deadline, and never beside another candidate.

Pure. A season has one candidate at a time: two that start from the same adapter would each lack what the other learnt,
and the later would undo the earlier. So a full buffer goes on filling while the candidate before it awaits its
signature, and only its own deadline lets it go past that one, taking its updates along. It goes on filling too until it
is old enough for schools that come seldom.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Due(StrEnum):
    """What is to be done with a round that collects."""

    NOTHING = "nothing"
    COMBINE = "combine"
    EXTEND = "extend"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """What is known of a round that collects."""

    accepted: int
    wanted: int
    minimum: int
    is_young: bool
    """It has not yet collected for as long as a round does at least."""
    is_past_deadline: bool
    is_season_open: bool
    is_another_combined: bool
    """Another round of the season is being combined."""
    is_candidate_waiting: bool
    """The season's last candidate has passed the gate, and nobody has signed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is due, and why."""

    due: Due
    reason: str


def round_judge(buffer: Buffer) -> Progress:
    """Return what is to be done with the round, and why."""
    if buffer.is_another_combined:
        return Progress(due=Due.NOTHING, reason="another_round_combined")
    # Nobody may say any more whether to wait for a season that is closed, so it waits for the signature.
    if buffer.is_candidate_waiting and not (buffer.is_past_deadline and buffer.is_season_open):
        return Progress(due=Due.NOTHING, reason="candidate_waiting")
    is_over = buffer.is_past_deadline or not buffer.is_season_open
    is_full = buffer.accepted >= buffer.wanted
    if is_full and (is_over or not buffer.is_young):
        return Progress(due=Due.COMBINE, reason="enough_updates")
    if not is_over:
        return Progress(due=Due.NOTHING, reason="full_but_young" if is_full else "collecting")
    if buffer.accepted >= buffer.minimum:
        return Progress(due=Due.COMBINE, reason="deadline" if buffer.is_season_open else "season_closed")
    due = Due.EXTEND if buffer.is_season_open else Due.ABANDON
    return Progress(due=due, reason="not_enough_updates")
