"""Which way through a conversation is shown: turns form a tree, because a question may be edited or answered anew.

Knows neither the database nor the page. A clock that was set back, as school PCs have them, may make a turn older than
the one that it follows; only what follows what decides the way, and the clock only which of several versions is newest.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

Id = TypeVar("Id", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Stem(Generic[Id]):
    """A turn, the turn that it follows (None: it opens the conversation), and when it was asked."""

    id: Id
    parent: Id | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Step(Generic[Id]):
    """A turn on the way that is shown, among its versions in the order of their asking."""

    id: Id
    versions: tuple[Id, ...]

    @property
    def place(self) -> int:
        """Return which of the versions it is, from 1."""
        return self.versions.index(self.id) + 1

    @property
    def earlier(self) -> Id | None:
        """Return the version before this one."""
        return self.versions[self.place - 2] if self.place > 1 else None

    @property
    def later(self) -> Id | None:
        """Return the version after this one."""
        return self.versions[self.place] if self.place < len(self.versions) else None


def way_through(stems: Sequence[Stem[Id]], *, over: Id | None = None) -> list[Step[Id]]:
    """Return the steps from the first question to the newest turn that follows `over`; None: to the newest of all.

    A turn whose parent is not among `stems` opens the conversation. An `over` that is not among them counts as None.
    """
    by_id = {stem.id: stem for stem in stems}
    children: dict[Id | None, list[Stem[Id]]] = {}
    for stem in sorted(stems, key=lambda stem: stem.asked_at):
        children.setdefault(stem.parent if stem.parent in by_id else None, []).append(stem)
    start = by_id[over] if over is not None and over in by_id else None
    leaf = _newest_below(start, children)
    steps: list[Step[Id]] = []
    while leaf is not None:
        parent = by_id.get(leaf.parent) if leaf.parent is not None else None
        siblings = children[parent.id if parent else None]
        steps.append(Step(leaf.id, tuple(sibling.id for sibling in siblings)))
        leaf = parent
    return steps[::-1]


def _newest_below(start: Stem[Id] | None, children: dict[Id | None, list[Stem[Id]]]) -> Stem[Id] | None:
    newest = start
    waiting: list[Id | None] = [start.id if start else None]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            waiting.append(child.id)
            # A turn always gives way to one that follows it; among others the clock decides.
            if newest is None or child.parent == newest.id or child.asked_at >= newest.asked_at:
                newest = child
    return newest
