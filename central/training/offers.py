"""What a check-in has for a node from training: a plan for the release that it runs, and the fate of its updates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from central.releases.models import Release
from central.schools.models import Node
from central.training.models import KEPT, Offer, Plan, Season, SeasonStatus, Update
from central.training.participation import participation_allows
from central.training.plans import plan_envelope, season_version, settings_of
from federation.trust.keys import DirectorKey
from federation.wire.releases import UpdateReceipt

CAN_TRAIN = "train"
RECEIPTS = 20


def plan_envelope_for(*, node: Node, key: DirectorKey, now: datetime, held_plan_id: str) -> bytes | None:
    """Return the plan, signed by `key`, that asks the node to learn from what it runs now; None where it has it."""
    plan = plan_for(node=node, now=now)
    if plan is None:
        return None
    Offer.objects.get_or_create(plan=plan, node=node, defaults={"offered_at": now})
    return plan_envelope(plan=plan, key=key) if plan.plan_id != held_plan_id else None


def plan_for(*, node: Node, now: datetime) -> Plan | None:
    """Return the newest plan of an open season for the release that the node runs, if it has not answered that yet.

    Nothing has to be fetched for it: its start is on the node's disk.
    """
    if CAN_TRAIN not in node.capabilities:
        return None
    running = Release.objects.in_force().select_related("base").filter(digest=node.running or "-").first()
    if running is None:
        return None
    season = Season.objects.filter(base=running.base or running, status=SeasonStatus.OPEN).first()
    if season is None:
        return None
    plan = season.plans.filter(start=_start(running, season)).first()
    if plan is None or plan.closes_at <= now or _is_too_stale(plan, season):
        return None
    if Update.objects.kept().filter(plan=plan, node=node).exists():
        return None
    # Last, because a private season adds up all that the school has spent.
    return plan if participation_allows(school=node.school, season=season) else None


def offer_learnt(*, plan: Plan, node: Node, now: datetime) -> None:
    """Record that the node has learnt for the plan: its update came, or its check-in says that one waits."""
    offer, _is_new = Offer.objects.get_or_create(plan=plan, node=node, defaults={"offered_at": now})
    if offer.trained_at is None:
        Offer.objects.filter(pk=offer.pk).update(trained_at=now)


def waiting_hear(*, node: Node, held_plan_id: str, digests: Sequence[str], now: datetime) -> None:
    """Record that the node has learnt for the plan that it holds, if an update new to the centre waits there."""
    waiting = set(digests[:RECEIPTS])
    if not waiting - set(Update.objects.filter(node=node, digest__in=waiting).values_list("digest", flat=True)):
        return
    plan = Plan.objects.filter(plan_id=held_plan_id).first()
    if plan is not None:
        offer_learnt(plan=plan, node=node, now=now)


def receipts_for(*, node: Node, digests: Sequence[str] | None) -> tuple[UpdateReceipt, ...]:
    """Return the receipts of the updates `digests` on which the node still waits, or of its newest where it cannot say.

    It drops an update only on its receipt.
    """
    judged = Update.objects.filter(node=node)
    if digests is not None:
        judged = judged.filter(digest__in=digests[:RECEIPTS])
    newest = judged.select_related("plan").order_by("-pk")[:RECEIPTS]
    return tuple(receipt_of(update) for update in newest)


def receipt_of(update: Update) -> UpdateReceipt:
    """Return the centre's word on an update: one that waits for a person is as safe here as one that counts."""
    is_safe = update.status in KEPT
    return UpdateReceipt(
        plan_id=update.plan.plan_id,
        update_sha256=update.digest,
        accepted=is_safe,
        code="" if is_safe else update.code,
    )


def _start(running: Release, season: Season) -> Release | None:
    """Return the adapter that the node trains from: the one that it runs, if it is the season's.

    Under an adapter of an earlier season the base lies on the disk as well, and the season begins there.
    """
    is_own = running.base is not None and season.rounds.filter(release=running).exists()
    return running if is_own else None


def _is_too_stale(plan: Plan, season: Season) -> bool:
    return season_version(season) - plan.version > settings_of(season).max_staleness
