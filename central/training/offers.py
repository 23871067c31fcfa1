"""What a check-in has for a node from training: a round to take part in, and the fate of the updates it sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from central.schools.models import Node
from central.training.models import Round, RoundStatus, Update, UpdateStatus
from central.training.services import plan_envelope
from federation.trust.keys import DirectorKey
from federation.wire.releases import UpdateReceipt

CAN_TRAIN = "train"
RECEIPTS = 20


def plan_envelope_for(*, node: Node, key: DirectorKey, now: datetime, held_plan_id: str) -> bytes | None:
    """Return the plan, signed by `key`, of the newest round that the node can take part in; None where it has it."""
    if CAN_TRAIN not in node.capabilities:
        return None
    done = Update.objects.filter(node=node, status=UpdateStatus.ACCEPTED).values("round")
    open_rounds = Round.objects.filter(status=RoundStatus.COLLECTING, closes_at__gt=now).exclude(pk__in=done)
    round_ = open_rounds.order_by("-pk").first()
    return plan_envelope(round_=round_, key=key) if round_ is not None and round_.plan_id != held_plan_id else None


def receipts_for(*, node: Node, digests: Sequence[str] | None) -> tuple[UpdateReceipt, ...]:
    """Return the receipts of the updates `digests` on which the node still waits, or of its newest where it cannot say.

    It drops an update only on its receipt.
    """
    judged = Update.objects.filter(node=node)
    if digests is not None:
        judged = judged.filter(digest__in=digests[:RECEIPTS])
    newest = judged.select_related("round").order_by("-pk")[:RECEIPTS]
    return tuple(
        UpdateReceipt(
            plan_id=update.round.plan_id,
            update_sha256=update.digest,
            accepted=update.status == UpdateStatus.ACCEPTED,
            code=update.code,
        )
        for update in newest
    )
