"""A conversation as the page shows it: one way through its versions, and of a long one a screenful at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from node.chat.branches import Stem, Step, way_through
from node.chat.models import Conversation, Turn

# Laying out an answer takes a slow PC some milliseconds, and an old telephone keeps no thousand of them.
TURNS_AT_ONCE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTurn:
    """A turn with its place among its versions."""

    turn: Turn
    step: Step[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page has of a conversation."""

    turns: Sequence[ShownTurn] = ()
    last_id: UUID | None = None
    """The turn that a further question follows."""
    before: int = 0
    """How many turns of the way come before the first that is shown."""
    earlier_end: int = 0
    later_end: int = 0
    """Where the screenful after this one ends; 0: this is the last."""


def conversation_show(conversation: Conversation, *, over: UUID | None = None, end: int | None = None) -> Shown:
    """Return the newest way through `conversation` that leads over the turn `over`, up to its turn number `end`."""
    rows = conversation.turns.values_list("pk", "parent_id", "asked_at")
    way = way_through([Stem(*row) for row in rows], over=over)
    if not way:
        return Shown()
    stop = len(way) if end is None or not 0 < end < len(way) else end
    begin = max(0, stop - TURNS_AT_ONCE)
    steps = way[begin:stop]
    turns = (
        conversation.turns.select_related("answer").prefetch_related("citations").in_bulk([step.id for step in steps])
    )
    return Shown(
        turns=[ShownTurn(turn=turns[step.id], step=step) for step in steps],
        last_id=way[-1].id,
        before=begin,
        earlier_end=begin,
        later_end=0 if stop == len(way) else min(len(way), stop + TURNS_AT_ONCE),
    )
