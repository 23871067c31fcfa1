"""Takes updates in, whichever way they come, and keeps what counts.

With `seasons`, `plans`, `rounds`, `offers`, `leases`, `fleet`, `quarantine`, `privacy_ledger` and `withdrawal` the only
writer of the app's tables.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from django.db import transaction

from central.disk import CentreDisk
from central.schools.keys import signing_key
from central.schools.models import Node
from central.schools.sessions import active_node
from central.training.errors import SeasonClosed, UpdateDuplicate, UpdateTooStale
from central.training.models import Plan, Round, RoundStatus, Update, UpdateStatus
from central.training.offers import offer_learnt
from central.training.participation import participation_expect
from central.training.plans import plan_get, plan_of, sizes_of
from central.training.seasons import season_lock
from central.training.shared import seasons_shared
from federation.errors import FederationError
from federation.learning.update import Update as ReadUpdate
from federation.learning.update import update_header, update_verify
from federation.trust.durable import durable_write
from federation.wire.canonical import sha256_hex, to_plain
from federation.wire.rounds import UpdateHeader

LOGGER = logging.getLogger(__name__)


def update_take_in(*, content: bytes, disk: CentreDisk, now: datetime) -> Update:
    """Return the judged update: its bytes are on disk if it was accepted, its code says why if not.

    The same bytes again give the same row; whichever way they came, there is one inbox.

    Raises:
        MalformedUpdate, MalformedDocument, WrongKind: nobody can tell whose it is.
        NodeUnknown, NodeNotActive, PlanUnknown: it is nobody's that the centre knows.
    """
    header = update_header(content)
    node, plan, digest = active_node(header.node_id), plan_get(header.plan_id), sha256_hex(content)
    held = Update.objects.filter(plan=plan, node=node, digest=digest).first()
    if held is not None:
        return held
    try:
        read = _verify(content, node, plan)
        return _count(plan, node, read, content, disk, now)
    except FederationError as refusal:
        LOGGER.warning("update %s of node %s is refused: %s", digest[:12], node.pk, refusal)
        return _refused(plan, node, header, content, refusal.code, now)


def kept_path(*, update: Update, disk: CentreDisk) -> Path:
    """Return where an update that passed every check lies as it was received."""
    return _kept_path(disk, update.plan, update.digest)


def update_forget(*, update: Update, disk: CentreDisk) -> None:
    """Leave nothing of the update on the disk; its row says that it was there."""
    kept_path(update=update, disk=disk).unlink(missing_ok=True)


def _verify(content: bytes, node: Node, plan: Plan) -> ReadUpdate:
    return update_verify(
        content,
        key=signing_key(node=node, envelope=content.partition(b"\n")[0]),
        node_id=str(node.pk),
        plan=plan_of(plan),
        dimensions=sizes_of(plan.season),
        variants=plan.season.base.cards.keys(),
    )


def _count(plan: Plan, node: Node, read: ReadUpdate, content: bytes, disk: CentreDisk, now: datetime) -> Update:
    """Return the accepted update, counted in the round of its season that collects now.

    Raises:
        SeasonClosed, SchoolWithdrawn, PrivacyBudgetSpent, UpdateTooStale, UpdateDuplicate: it may be counted in none.
    """
    digest = sha256_hex(content)
    with transaction.atomic():
        # Under this lock no round can begin to be combined, and no second process can take the same update in.
        season = season_lock(plan.season_id)
        shared = seasons_shared.now()
        found = shared.seasons.get(season.base_id)
        if found is None or found.season != season:
            raise SeasonClosed(season_id=season.season_id)
        participation_expect(node=node, season=season, shared=shared)
        staleness = found.version - plan.version
        if staleness > found.max_staleness:
            raise UpdateTooStale(plan_id=plan.plan_id, staleness=staleness)
        answered = Update.objects.kept().filter(plan=plan, node=node).first()
        if answered is not None:
            if answered.digest == digest:
                return answered
            raise UpdateDuplicate(node_id=str(node.pk))
        durable_write(_kept_path(disk, plan, digest), content)
        offer_learnt(plan=plan, node=node, now=now)
        collecting = season.rounds.only("pk").get(status=RoundStatus.COLLECTING)
        return _accepted(plan, collecting, node, read, content, staleness, now)


def _accepted(
    plan: Plan, round_: Round, node: Node, read: ReadUpdate, content: bytes, staleness: int, now: datetime
) -> Update:
    header = read.header
    return Update.objects.create(
        plan=plan,
        round=round_,
        node=node,
        counter=header.counter,
        status=UpdateStatus.ACCEPTED,
        digest=sha256_hex(content),
        size_bytes=len(content),
        variant=header.variant,
        labels=header.labels,
        staleness=staleness,
        norm=read.norm,
        loss_before=header.loss_before,
        loss_after=header.loss_after,
        scores=to_plain(header.scores),
        received_at=now,
    )


def _refused(plan: Plan, node: Node, header: UpdateHeader, content: bytes, code: str, now: datetime) -> Update:
    row, _is_new = Update.objects.get_or_create(
        plan=plan,
        node=node,
        digest=sha256_hex(content),
        defaults={
            "round": plan.season.rounds.filter(status=RoundStatus.COLLECTING).first(),
            "counter": max(header.counter, 0),
            "status": UpdateStatus.REFUSED,
            "code": code,
            "size_bytes": len(content),
            "received_at": now,
        },
    )
    return row


def _kept_path(disk: CentreDisk, plan: Plan, digest: str) -> Path:
    folder = disk.updates / plan.plan_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{digest}.update"
