"""What a check-in has for a node from training: a plan for the release that it runs, and the fate of its updates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from central.schools.models import Node
from central.training.models import KEPT, Offer, Plan, Update
from central.training.plans import plan_envelope, plan_get
from central.training.privacy_ledger import budget_allows
from central.training.shared import SharedSeasons
from federation.trust.keys import DirectorKey
from federation.wire.releases import UpdateReceipt

CAN_TRAIN = "train"
RECEIPTS = 20


def plan_envelope_for(
    *, node: Node, key: DirectorKey, now: datetime, held_plan_id: str, shared: SharedSeasons
) -> bytes | None:
    """Return the plan, signed by `key`, that asks the node to learn from what it runs now; None where it has it."""
    plan = plan_for(node=node, now=now, shared=shared)
    if plan is None or plan.plan_id == held_plan_id:
        return None
    # A node that has the plan, and cannot say so, makes the centre write nothing.
    if not Offer.objects.filter(plan=plan, node=node).exists():
        Offer.objects.bulk_create([Offer(plan=plan, node=node, offered_at=now)], ignore_conflicts=True)
    return plan_envelope(plan=plan_get(plan.plan_id), key=key)


def plan_for(*, node: Node, now: datetime, shared: SharedSeasons) -> Plan | None:
    """Return the newest plan of an open season for the release that the node runs, if it has not answered that yet.

    Nothing has to be fetched for it: its start is on the node's disk. Under an adapter of an earlier season the base
    lies on the disk as well, and the season begins there. What was signed is not read with it.
    """
    if CAN_TRAIN not in node.capabilities:
        return None
    found = shared.season_of(node.running)
    if found is None or node.school_id in shared.withdrawn:
        return None
    plan = found.plans.get(found.adopted.get(node.running))
    if plan is None or plan.closes_at <= now or found.version - plan.version > found.max_staleness:
        return None
    if Update.objects.kept().filter(plan=plan, node=node).exists():
        return None
    # Last, because a private season adds up all that the school has spent.
    return plan if budget_allows(school=node.school, season=found.season) else None


def offer_learnt(*, plan: Plan, node: Node, now: datetime) -> None:
    """Record that the node has learnt for the plan: its update came, or its check-in says that one waits."""
    offers = Offer.objects.filter(plan=plan, node=node)
    if not offers.filter(trained_at=None).update(trained_at=now):
        # It has been heard of before, or the plan came by another way than an offer.
        Offer.objects.get_or_create(plan=plan, node=node, defaults={"offered_at": now, "trained_at": now})


def waiting_hear(*, node: Node, held_plan_id: str, digests: Sequence[str], now: datetime) -> None:
    """Record that the node has learnt for the plan that it holds, if an update new to the centre waits there."""
    waiting = set(digests[:RECEIPTS])
    if not waiting or not waiting - set(
        Update.objects.filter(node=node, digest__in=waiting).values_list("digest", flat=True)
    ):
        return
    plan = Plan.objects.filter(plan_id=held_plan_id).first()
    if plan is not None:
        offer_learnt(plan=plan, node=node, now=now)


def receipts_for(*, node: Node, digests: Sequence[str] | None) -> tuple[UpdateReceipt, ...]:
    """Return the receipts of the updates `digests` on which the node still waits, or of its newest where it cannot say.

    It drops an update only on its receipt.
    """
    if digests is not None and not digests:
        return ()
    judged = Update.objects.filter(node=node)
    if digests is not None:
        judged = judged.filter(digest__in=digests[:RECEIPTS])
    newest = judged.order_by("-pk").values_list("plan__plan_id", "digest", "status", "code")[:RECEIPTS]
    return tuple(_receipt(*said) for said in newest)


def receipt_of(update: Update) -> UpdateReceipt:
    """Return the centre's word on an update: one that waits for a person is as safe here as one that counts."""
    return _receipt(update.plan.plan_id, update.digest, update.status, update.code)


def _receipt(plan_id: str, digest: str, status: str, code: str) -> UpdateReceipt:
    is_safe = status in KEPT
    return UpdateReceipt(plan_id=plan_id, update_sha256=digest, accepted=is_safe, code="" if is_safe else code)
