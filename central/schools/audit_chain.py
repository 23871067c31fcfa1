"""Chains audit rows by hash, one writer at a time, and finds the first broken link.

The rules, in order:
1. A row is written in the transaction of what it tells of, and waits for its link until that is committed: nobody who
   records a change waits for anybody else's (decision 0076).
2. `audit_link_new` links every committed row that has none, in the order of their numbers; a row that was committed
   late follows those that were linked before it. Of two at once one waits, and then finds nothing left to do.
3. Neither table takes a change or a removal back: `append_only` has the database refuse them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import connection, transaction

from central.schools.chain import GENESIS, AuditedChange, link_hash
from central.schools.models_audit import AuditEvent, AuditLink

BATCH = 2_000
LOOK_BACK = 5_000
"""So many rows before the newest linked one are looked at for one that was committed late."""
# Any number that no other lock of the centre has.
LOCK = 0x50_52_0A_0D


class Breach(StrEnum):
    """How a chain is broken."""

    LINK_MISSING = "link_missing"
    ROW_MISSING = "row_missing"
    ROW_CHANGED = "row_changed"
    LINK_CHANGED = "link_changed"
    HEAD_UNKNOWN = "head_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest link: whoever keeps it elsewhere can prove later what the audit held."""

    number: int
    """0 where there is none."""
    own_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """What was found of the chain."""

    head: Head
    """The last link that holds."""
    waiting: int
    """Rows that have no link yet."""
    waiting_since: datetime | None
    broken: Breach | None = None
    broken_number: int = 0
    """The first link that does not hold."""
    broken_event: int | None = None


def audit_link_new() -> int:
    """Leave every audit row linked that was committed lately, and return how many links are new."""
    return _all_link(look_back=LOOK_BACK)


def audit_link_all() -> int:
    """Leave every committed audit row linked, however late it was committed; it looks at all there are."""
    return _all_link(look_back=None)


def head_read() -> Head:
    """Return the newest link as it stands, unverified."""
    return _head_of(AuditLink.objects.order_by("-number").first())


def _head_of(newest: AuditLink | None) -> Head:
    return Head(number=newest.number, own_hash=newest.own_hash) if newest else Head(number=0, own_hash=GENESIS)


def audit_verify(*, kept: Head | None = None) -> AuditVerdict:
    """Return what is found when the whole chain is hashed anew; it must still hold the head `kept`, where one is given.

    It reads in batches, and holds up nobody.
    """
    head = Head(number=0, own_hash=GENESIS)
    unlinked = AuditEvent.objects.filter(link=None).order_by("at")
    oldest = unlinked.first()
    waiting, since = unlinked.count(), oldest.at if oldest else None
    for link, change in _links_read():
        breach = _breach(head, link, change, kept)
        if breach is not None:
            return AuditVerdict(
                head=head,
                waiting=waiting,
                waiting_since=since,
                broken=breach,
                broken_number=head.number + 1,
                broken_event=link.event_id,
            )
        head = Head(number=link.number, own_hash=link.own_hash)
    is_short = kept is not None and kept.number > head.number
    return AuditVerdict(
        head=head,
        waiting=waiting,
        waiting_since=since,
        broken=Breach.LINK_MISSING if is_short else None,
        broken_number=head.number + 1 if is_short else 0,
    )


def _all_link(*, look_back: int | None) -> int:
    linked = 0
    while (more := _batch_link(look_back)) > 0:
        linked += more
    return linked


def _batch_link(look_back: int | None) -> int:
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # SQLite has one writer anyway: its transactions begin IMMEDIATE.
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        newest = AuditLink.objects.order_by("-number").first()
        head, links = _head_of(newest), []
        waiting = AuditEvent.objects.filter(link=None).order_by("pk")
        if look_back is not None and newest is not None:
            # Without a bound each look would read the audit of years.
            waiting = waiting.filter(pk__gt=newest.event_id - look_back)
        for event in waiting[:BATCH]:
            number = head.number + 1
            own_hash = link_hash(number=number, previous=head.own_hash, change=change_of(event))
            links.append(AuditLink(number=number, event=event, previous_hash=head.own_hash, own_hash=own_hash))
            head = Head(number=number, own_hash=own_hash)
        AuditLink.objects.bulk_create(links, batch_size=500)
    return len(links)


def change_of(event: AuditEvent) -> AuditedChange:
    """Return the row as it is hashed."""
    return AuditedChange(
        event=event.pk,
        actor=event.actor,
        entity=event.entity,
        old=event.old,
        new=event.new,
        reason=event.reason,
        at=event.at,
    )


def _links_read() -> Iterator[tuple[AuditLink, AuditedChange | None]]:
    after = -1
    while links := list(AuditLink.objects.filter(number__gt=after).order_by("number")[:BATCH]):
        # Read apart: a row that somebody has removed from under its link must show as missing.
        events = AuditEvent.objects.in_bulk([link.event_id for link in links])
        for link in links:
            event = events.get(link.event_id)
            yield link, change_of(event) if event else None
        after = links[-1].number


def _breach(head: Head, link: AuditLink, change: AuditedChange | None, kept: Head | None) -> Breach | None:
    if link.number != head.number + 1:
        return Breach.LINK_MISSING
    if change is None:
        return Breach.ROW_MISSING
    if link.previous_hash != head.own_hash:
        return Breach.LINK_CHANGED
    if link_hash(number=link.number, previous=head.own_hash, change=change) != link.own_hash:
        return Breach.ROW_CHANGED
    if kept is not None and kept.number == link.number and kept.own_hash != link.own_hash:
        return Breach.HEAD_UNKNOWN
    return None
