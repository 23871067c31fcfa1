"""What the schools app itself adds to a school's timeline: contacts, keys, and who let its PC in or shut it out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext

from central.schools.models import AuditEvent, ClaimCode, Node, NodeStatus, RetiredKey, School
from central.schools.rhythm import HISTORY_DAYS
from central.schools.timeline import EntryKind, TimelineEntry

_NODE = "schools.node "


def contacts_and_keys(school: School, most: int) -> Iterable[TimelineEntry]:
    """Return the days with a contact, what became of keys and claim codes, and how the PCs' status moved."""
    nodes = {str(node.pk): node for node in Node.objects.filter(school=school)}
    for node in nodes.values():
        yield from _contacts(node)
    for code in ClaimCode.objects.filter(node__school=school)[:most]:
        yield from _claim_code(code)
    for key in RetiredKey.objects.filter(node__school=school)[:most]:
        words = (
            gettext("the key %(key)s was withdrawn") if key.is_withdrawn else gettext("the key %(key)s was replaced")
        )
        yield TimelineEntry(at=key.retired_at, kind=EntryKind.KEY, words=words % {"key": key.key_id[:12]})
    for event in AuditEvent.objects.filter(entity__in=[f"{_NODE}{pk}" for pk in nodes])[:most]:
        yield _moved(event)


def _contacts(node: Node) -> Iterator[TimelineEntry]:
    if node.last_contact_at is None:
        return
    yield TimelineEntry(at=node.last_contact_at, kind=EntryKind.CONTACT, words=gettext("the last contact"))
    noon = timezone.localtime(node.last_contact_at).replace(hour=12, minute=0, second=0, microsecond=0)
    for day in range(1, HISTORY_DAYS):
        if node.contact_days >> day & 1:
            at: datetime = noon - timedelta(days=day)
            yield TimelineEntry(at=at, kind=EntryKind.CONTACT, words=gettext("in contact"), is_day=True)


def _claim_code(code: ClaimCode) -> Iterator[TimelineEntry]:
    words = gettext("%(person)s made a claim code") % {"person": code.created_by}
    yield TimelineEntry(at=code.created_at, kind=EntryKind.KEY, words=words)
    if code.used_at is not None:
        yield TimelineEntry(at=code.used_at, kind=EntryKind.KEY, words=gettext("a PC enrolled with its claim code"))


def _moved(event: AuditEvent) -> TimelineEntry:
    labels = dict(NodeStatus.choices)
    words = gettext("the PC is %(status)s now; by %(person)s")
    told = {"status": labels.get(event.new, event.new), "person": event.actor}
    return TimelineEntry(at=event.at, kind=EntryKind.KEY, words=words % told)
