"""One timeline of a school: what every app of the centre knows of it, in the order of time.

An app that stands on this one registers a source when it is ready, so that the page needs to know none of them. A
source returns the newest entries that it has, at most `most` of them, in a number of queries that does not depend on
how many there are; the first source, of the schools app itself, stands in `timeline_sources`.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from central.schools.models import School

MOST_OF_A_SOURCE = 200


class EntryKind(enum.Enum):
    """What an entry is about."""

    CONTACT = "contact"
    INSTALL = "install"
    RATING = "rating"
    UPDATE = "update"
    KEY = "key"

    @property
    def words(self) -> Promise:
        """The kind in the reader's language."""
        return _KIND_WORDS[self]


_KIND_WORDS = {
    EntryKind.CONTACT: _("contact"),
    EntryKind.INSTALL: _("installation"),
    EntryKind.RATING: _("ratings"),
    EntryKind.UPDATE: _("learning"),
    EntryKind.KEY: _("key and access"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One thing that happened, in the reader's words; of a whole day where `is_day` is set."""

    at: datetime
    kind: EntryKind
    words: str
    is_day: bool = False
    place: str = ""
    """An address in the admin where more is to be seen; empty where there is none."""


TimelineSource: TypeAlias = Callable[[School, int], Iterable[TimelineEntry]]
_SOURCES: dict[str, TimelineSource] = {}


def timeline_register(name: str, source: TimelineSource) -> None:
    """Let `source` add to every school's timeline; a source that registers twice counts once."""
    _SOURCES[name] = source


def school_timeline(school: School, *, kind: EntryKind | None = None) -> Sequence[TimelineEntry]:
    """Return the school's entries, of one kind or of all, the newest first."""
    entries = itertools.chain.from_iterable(source(school, MOST_OF_A_SOURCE) for source in _SOURCES.values())
    chosen = (entry for entry in entries if kind is None or entry.kind is kind)
    return sorted(chosen, key=lambda entry: entry.at, reverse=True)
