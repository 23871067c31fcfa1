"""One identity on two PCs: how it shows, and what a technician makes of it.

With `services` the only writer of alarms. The rules, in order:
1. Two different parcels under one number of one epoch raise an alarm; the second is put aside, none is lost.
2. A node begins a new epoch when its database was restored, and never goes back to an old one: if a check-in names an
   epoch that was left before, another PC is speaking.
3. An alarm changes nothing at the school. A person finds out: one PC that was restored, and the alarm is closed; or
   two, and the one that stays goes on by a new sheet while the key that both have is withdrawn at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from central.feedback.models import CloneAlarm, CloneResolution, CloneSign, OutboxCursor
from central.schools.audit import audit_record
from central.schools.errors import StatusConflict
from central.schools.invitations import Render, node_reinvite
from central.schools.models import Node
from central.schools.reach import entity_of, steering_expect
from federation.wire.feedback import CLONE_SUSPECTED


def epoch_hear(*, node: Node, epoch: str, now: datetime) -> OutboxCursor:
    """Take note that `node` says at a check-in that `epoch` is its numbering; `node.epoch` is what it said before.

    Returns how far its parcels of that numbering have come.
    """
    heard = OutboxCursor.objects.filter(node=node, epoch=epoch, checked_in_at__isnull=False).order_by().first()
    if epoch == node.epoch and heard is not None:
        # What was heard once stays so: nothing to lock for.
        return heard
    with transaction.atomic():
        cursor, _ = OutboxCursor.objects.select_for_update().get_or_create(node=node, epoch=epoch)
        if cursor.checked_in_at is None:
            cursor.checked_in_at = now
            cursor.save(update_fields=["checked_in_at"])
        elif epoch != node.epoch:
            alarm_raise(
                node=node, sign=CloneSign.EPOCH_BACK, epoch=epoch, seq=0, other_event_id=node.epoch, details={}, now=now
            )
    return cursor


def epochs_heard(*, node: Node) -> frozenset[str]:
    """Return every epoch that a check-in of `node` has named; each but the last is over."""
    heard = OutboxCursor.objects.filter(node=node, checked_in_at__isnull=False)
    return frozenset(heard.values_list("epoch", flat=True))


def alarm_raise(
    *,
    node: Node,
    sign: CloneSign,
    epoch: str,
    seq: int,
    other_event_id: str,
    details: Mapping[str, object],
    now: datetime,
) -> None:
    """Leave one open alarm for this sign, with one audit row whenever it was not open before."""
    alarm, is_new = CloneAlarm.objects.get_or_create(
        node=node, epoch=epoch, seq=seq, other_event_id=other_event_id, defaults={"sign": sign, "at": now, **details}
    )
    was_closed = CloneAlarm.objects.filter(pk=alarm.pk).exclude(resolution="").update(resolution="", resolved_by="")
    if is_new or was_closed:
        entity = entity_of(node)
        reason = f"{sign.value} {seq}" if seq else sign.value
        audit_record(actor="node", entity=entity, old="", new=CLONE_SUSPECTED, reason=reason, now=now)


def alarm_close(*, alarm: CloneAlarm, actor: str, now: datetime) -> None:
    """Record that it is one PC, which was restored from a backup.

    Raises:
        StatusConflict: somebody has resolved it.
        RoleReadsOnly, OutsideRegion: `actor` has no say at its school.
    """
    with transaction.atomic():
        _resolve(alarm.node, alarm, CloneResolution.ONE_PC, actor, now)


def alarm_replace(*, alarm: CloneAlarm, render: Render, actor: str, now: datetime) -> bytes:
    """Return the sheet by which the PC that stays goes on; all open alarms of the node are resolved by it.

    Raises:
        StatusConflict: somebody has resolved it.
        StatusMoveIllegal: the node is neither active nor suspended; nothing is changed.
        FederationError: as `render`; nothing is changed.
    """
    with transaction.atomic():
        _resolve(alarm.node, alarm, CloneResolution.REPLACED, actor, now)
        CloneAlarm.objects.is_open().filter(node=alarm.node).update(
            resolution=CloneResolution.REPLACED, resolved_by=actor
        )
        return node_reinvite(node=alarm.node, render=render, actor=actor, reason=CLONE_SUSPECTED, now=now)


def _resolve(node: Node, alarm: CloneAlarm, resolution: CloneResolution, actor: str, now: datetime) -> None:
    steering_expect(actor=actor, rows=[alarm])
    entity = entity_of(node)
    if CloneAlarm.objects.is_open().filter(pk=alarm.pk).update(resolution=resolution, resolved_by=actor) != 1:
        raise StatusConflict(entity=entity, old=CLONE_SUSPECTED, new=resolution.value)
    audit_record(actor=actor, entity=entity, old=CLONE_SUSPECTED, new=resolution.value, reason="", now=now)
