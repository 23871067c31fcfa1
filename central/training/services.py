"""Opens rounds and takes updates in; with `rounds`, `leases` and `fleet` the only writer of the app's tables."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from central.disk import CentreDisk
from central.releases.errors import BaseNotReady
from central.releases.models import Release, ReleaseKindChoice
from central.schools.keys import signing_key
from central.schools.models import Node
from central.schools.sessions import active_node
from central.training.anchors import anchors_read
from central.training.errors import RoundClosed, RoundUnderWay, RoundUnknown, UpdateDuplicate
from central.training.models import Round, RoundStatus, Update, UpdateStatus
from central.training.plan_settings import DEFAULT_PLAN, PlanSettings
from federation.basis import SlotSize
from federation.errors import FederationError
from federation.learning.update import Update as ReadUpdate
from federation.learning.update import update_header, update_verify
from federation.trust.durable import durable_write
from federation.trust.envelopes import ROUND_PLAN, envelope_key_ids, envelope_payload_unverified, envelope_seal
from federation.trust.keys import DirectorKey, key_id
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.rounds import Objective, Precision, RoundPlan, SchemeName, UpdateHeader

LOGGER = logging.getLogger(__name__)


def round_get(plan_id: str) -> Round:
    """Return the round of this plan.

    Raises:
        RoundUnknown: there is none.
    """
    round_ = Round.objects.select_related("base").filter(plan_id=plan_id).first()
    if round_ is None:
        raise RoundUnknown(plan_id=plan_id[:64])
    return round_


def round_open(
    *,
    base: Release,
    slot_columns: Mapping[str, int],
    wanted: int,
    key: DirectorKey,
    actor: str,
    now: datetime,
    settings: PlanSettings = DEFAULT_PLAN,
) -> Round:
    """Return a round that collects updates on `base`; `slot_columns` are its adapter slots' d_out, in order.

    Raises:
        BaseNotReady: the release is no base, or not in force.
        RoundUnderWay: another round on it still collects.
        AnchorsUnreadable: the anchors are damaged.
    """
    if base.kind != ReleaseKindChoice.BASE or not base.is_in_force:
        raise BaseNotReady(release=base.version, status=base.status)
    if Round.objects.filter(base=base, status=RoundStatus.COLLECTING).exists():
        raise RoundUnderWay(release=base.version)
    slots = tuple(slot for slot in slot_columns if slot.rpartition(".")[2] in settings.parts)
    plan = _plan(base, slots, settings, now)
    return Round.objects.create(
        plan_id=plan.plan_id,
        base=base,
        plan_envelope=envelope_seal(payload=canonical_bytes(plan), kind=ROUND_PLAN, key=key),
        slot_columns=dict(slot_columns),
        server_scale=settings.server_scale,
        wanted=wanted,
        minimum=min(settings.minimum, wanted),
        opened_by=actor,
        opened_at=now,
        closes_at=plan.closes_at,
    )


def _plan(base: Release, slots: tuple[str, ...], settings: PlanSettings, now: datetime) -> RoundPlan:
    plan_id = uuid.uuid4().hex
    return RoundPlan(
        plan_id=plan_id,
        season_id=plan_id,
        version=0,
        base=base.digest,
        start="",
        scheme=SchemeName.FFA_LORA,
        precision=Precision.FLOAT16,
        objective=Objective(preference=0.0, ratings=0.0, beta=0.1),
        seed=plan_id,
        rank=settings.rank,
        slots=slots,
        learning_rate=settings.learning_rate,
        max_steps=settings.max_steps,
        stop_loss=settings.stop_loss,
        anchors=anchors_read(),
        min_labels=settings.min_labels,
        max_labels=settings.max_labels,
        max_norm=settings.max_norm,
        issued_at=now,
        closes_at=now + settings.life,
    )


def plan_envelope(*, round_: Round, key: DirectorKey) -> bytes:
    """Return the round's plan as `key` has signed it; after a change of the director's key it is signed anew."""
    held = bytes(round_.plan_envelope)
    if key_id(key) in envelope_key_ids(held):
        return held
    sealed = envelope_seal(payload=envelope_payload_unverified(held, kind=ROUND_PLAN), kind=ROUND_PLAN, key=key)
    Round.objects.filter(pk=round_.pk).update(plan_envelope=sealed)
    return sealed


def plan_of(round_: Round) -> RoundPlan:
    """Return the plan as it was signed."""
    return parse(RoundPlan, envelope_payload_unverified(bytes(round_.plan_envelope), kind=ROUND_PLAN))


def update_take_in(*, content: bytes, disk: CentreDisk, now: datetime) -> Update:
    """Return the judged update: its bytes are on disk if it was accepted, its code says why if not.

    The same bytes again give the same row; whichever way they came, there is one inbox.

    Raises:
        MalformedUpdate, MalformedDocument, WrongKind: nobody can tell whose it is.
        NodeUnknown, NodeNotActive, RoundUnknown: it is nobody's that the centre knows.
    """
    header = update_header(content)
    node, round_, digest = active_node(header.node_id), round_get(header.plan_id), sha256_hex(content)
    held = Update.objects.filter(round=round_, node=node, digest=digest).first()
    if held is not None:
        return held
    try:
        read = _judge(content, node, round_, now)
    except FederationError as refusal:
        LOGGER.warning("update %s of node %s is refused: %s", digest[:12], node.pk, refusal)
        return _refused(round_, node, header, content, digest, refusal.code, now)
    durable_write(_kept_path(disk, round_, digest), content)
    return _accepted(round_, node, read, content, digest, now)


def _judge(content: bytes, node: Node, round_: Round, now: datetime) -> ReadUpdate:
    read = update_verify(
        content,
        key=signing_key(node=node, envelope=content.partition(b"\n")[0]),
        node_id=str(node.pk),
        plan=plan_of(round_),
        # FFA-LoRA's arrays do not depend on what goes into a slot.
        dimensions={slot: SlotSize(0, columns) for slot, columns in round_.slot_columns.items()},
        variants=round_.base.cards.keys(),
    )
    if round_.status != RoundStatus.COLLECTING or now >= round_.closes_at:
        raise RoundClosed(plan_id=round_.plan_id)
    if Update.objects.filter(round=round_, node=node, status=UpdateStatus.ACCEPTED).exists():
        raise UpdateDuplicate(node_id=str(node.pk))
    return read


def _refused(
    round_: Round, node: Node, header: UpdateHeader, content: bytes, digest: str, code: str, now: datetime
) -> Update:
    return Update.objects.create(
        round=round_,
        node=node,
        counter=max(header.counter, 0),
        status=UpdateStatus.REFUSED,
        code=code,
        digest=digest,
        size_bytes=len(content),
        received_at=now,
    )


def _accepted(round_: Round, node: Node, read: ReadUpdate, content: bytes, digest: str, now: datetime) -> Update:
    header = read.header
    return Update.objects.create(
        round=round_,
        node=node,
        counter=header.counter,
        status=UpdateStatus.ACCEPTED,
        digest=digest,
        size_bytes=len(content),
        variant=header.variant,
        labels=header.labels,
        norm=read.norm,
        loss_before=header.loss_before,
        loss_after=header.loss_after,
        received_at=now,
    )


def update_bytes(*, update: Update, disk: CentreDisk) -> bytes:
    """Return an accepted update as it was received."""
    return _kept_path(disk, update.round, update.digest).read_bytes()


def _kept_path(disk: CentreDisk, round_: Round, digest: str) -> Path:
    folder = disk.updates / round_.plan_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{digest}.update"
